/*
 * cluster_crashes.cpp: disks, crashes, journals that are rolled back or cut (cluster.h).
 */
#include <algorithm>
#include <utility>

#include "../../src/storage/journal_fold.h"
#include "cluster.h"

namespace dadbs::sim {

using namespace dadbs::core;

void Cluster::StartSync(Node& node) {
  if (node.syncing || node.disk_hangs || node.durable == node.journal.size()) return;
  node.syncing = true;
  const uint64_t life = node.life;
  const size_t count = node.journal.size();
  int64_t takes = random_.Between(profile_.disk_min_us, profile_.disk_max_us);
  if (random_.Chance(profile_.disk_stall)) takes += random_.Between(100'000, 400'000);
  At(takes, [this, &node, life, count] {
    if (node.life != life) return;
    For(node, [this, &node, life, count] {
      if (node.life == life) SyncDone(node, count);
    });
  });
}

void Cluster::SyncDone(Node& node, size_t count) {
  node.syncing = false;
  if (node.disk_hangs) return;
  bool crashes = false;
  for (; node.durable < count; node.durable++) {
    checker_->OnDurable(node.id, node.journal[node.durable]);
    crashes = (options_.script && options_.script->CrashesWhenDurable(node.id, node.journal[node.durable])) || crashes;
  }
  if (crashes) return Crash(node, node.durable);
  Carry(node, node.replica->OnJournalDone(node.first_sequence + count - 1, WallOf(node)));
}

void Cluster::Crash(Node& node, std::optional<size_t> survives) {
  Trace(node.id, "crashes");
  summary_.crashes++;
  if (!survives) survives = node.durable + random_.Below(node.journal.size() - node.durable + 1);
  for (; node.durable < *survives; node.durable++) checker_->OnDurable(node.id, node.journal[node.durable]);
  const auto learns_now = [](const JournalRecord& record) {
    const auto* memory = std::get_if<MemoryRecord>(&record);
    return memory && memory->state.memory == Memory::kLearner;
  };
  if (std::any_of(node.journal.begin() + static_cast<ptrdiff_t>(*survives), node.journal.end(), learns_now)) checker_->MayNotKnow(node.id);
  node.journal.resize(*survives);
  node.replica.reset();
  jury_->OnCrash(node.id);
  ForgetDigests(node);
  node.life++;
  node.paused = false;
  node.backlog.clear();
  node.syncing = false;
  node.crash_after_effects = 0;
  node.identities.clear();
  node.heard.clear();
  node.knows_lost.clear();
  const bool learns = std::exchange(node.keeps_rest, false);
  if (faults_ && node.id == profile_.amnesiac && !learns && random_.Chance(0.4)) RollBack(node);
  for (const auto& peer : nodes_)
    if (peer->id != node.id) Link(node.id, peer->id, false);
  const bool is_exiled = node.id == profile_.exile && now_ >= profile_.exile_at_us;
  if (faults_ && !is_exiled) At(random_.Between(1'000, 400'000), [this, &node] { Restart(node); });
  if (faults_ && learns && random_.Chance(0.5))  // the power of all: what they had seen of it they know from their journals only
    for (const auto& peer : nodes_)
      if (peer->replica) Crash(*peer);
}

// Its files are those of an earlier moment. Its tables too.
void Cluster::RollBack(Node& node) {
  if (node.journal.size() < 2) return;
  const size_t lost = 1 + random_.Below(std::min<size_t>(node.journal.size() - 1, random_.Chance(0.5) ? 6 : 60));
  const size_t since_cut = node.first_sequence + node.journal.size() - 1 - node.cut_behind;  // before, its old part was there
  std::vector<JournalRecord> kept = node.journal;
  kept.resize(kept.size() - std::min(lost, since_cut));
  Forget(node, std::move(kept), node.first_sequence);
}

void Cluster::Forget(Node& node, std::vector<JournalRecord> kept, uint64_t first_sequence) {
  const size_t lost = node.first_sequence + node.journal.size() - first_sequence - kept.size();
  if (lost == 0) return;
  for (size_t i = 0; i < node.journal.size(); i++) {
    const auto* begun = std::get_if<IncarnationRecord>(&node.journal[i]);
    if (!begun) continue;
    node.forgot_in_era = std::max(node.forgot_in_era, EraOf(begun->entry.incarnation));
    if (node.first_sequence + i >= first_sequence + kept.size()) jury_->BeginsAgain(node.id, begun->entry.incarnation);
  }
  node.journal = std::move(kept);
  node.first_sequence = first_sequence;
  node.durable = node.journal.size();
  const uint64_t last = node.first_sequence + node.durable - 1;
  RecoveredState state;
  for (size_t i = 0; i < node.journal.size(); i++) state.Apply(node.journal[i], node.first_sequence + i);
  checker_->OnRollBack(node.id, node.journal, state);
  for (const auto& peer : nodes_) {
    peer->knows_lost.erase(node.id.value);  // what an earlier life had forgotten counts in none any more, or is lost again
    if (peer->replica && peer->heard[IdOf(node.id).value].second > last) peer->knows_lost.insert(node.id.value);
  }
  summary_.rolled_back++;
  node.forgets = node.has_forgotten = true;
  Trace(node.id, "has forgotten " + std::to_string(lost) + " records");
}

// What was durable before the crash and not yet delivered is applied from the journal.
void Cluster::DeliverFromJournal(Node& node, const JournalRecord& record, const RecoveredState& state) {
  const auto* committed = std::get_if<CommittedRecord>(&record);
  if (!committed || committed->block->header.height <= checker_->delivered(node.id)) return;
  if (state.recent.empty()) throw Failure("a committed block without its batches in the journal");
  const BlockMessage& block = state.recent.back();
  NoteDelivery(node, {block.block, block.certificate, block.batches});
}

// How many of the oldest records may be gone: a segment may end behind any record, and what may be cut is the journal's rule.
size_t Cluster::MayCut(const Node& node) const {
  storage::JournalFold fold;
  for (size_t i = 0; i < node.journal.size(); i++) fold.Apply(node.journal[i], i + 1);
  fold.Prune();
  size_t count = 0;
  while (count + 1 < node.journal.size() && fold.CanCut(count + 1, checker_->delivered(node.id))) count++;
  return count;
}

void Cluster::CutJournal(Node& node, size_t count) {
  if (count == 0) return;
  storage::JournalFold fold;
  for (size_t i = 0; i < count; i++) fold.Apply(node.journal[i], 1);
  Trace(node.id, "cuts " + std::to_string(count) + " records off its journal");
  summary_.cuts++;
  node.cut_behind = node.first_sequence + node.durable - 1;
  // The state takes no number of its own: that of the record before it.
  node.journal.erase(node.journal.begin(), node.journal.begin() + static_cast<int64_t>(count) - 1);
  node.journal.front() = fold.state();
  node.first_sequence += count - 1;
  node.durable = node.journal.size();
}

// The journal through its own encoding.
RecoveredState Cluster::Fold(Node& node) {
  RecoveredState state;
  state.recent_blocks_max = Limits().recent_blocks_max;
  for (size_t i = 0; i < node.journal.size(); i++) {
    JournalRecord record;
    if (!DecodeRecord(EncodeRecord(node.journal[i]), &record)) throw Failure("a record that can't be read back");
    if (std::string why = state.Apply(record, node.first_sequence + i); !why.empty())
      throw Failure("a restart finds " + why);
    DeliverFromJournal(node, record, state);
  }
  if (std::string why = state.End(); !why.empty()) throw Failure("a restart finds a journal that ends with " + why);
  return state;
}

void Cluster::Restart(Node& node) {
  if (node.replica || (faults_ && node.id == profile_.exile && now_ >= profile_.exile_at_us)) return;
  if (node.journal.empty()) {
    node.journal.push_back(GenesisRecord{genesis_.Encode(), node.id});
    node.durable = 1;
  }
  if (random_.Chance(profile_.cut)) CutJournal(node, random_.Below(MayCut(node) + 1));
  RecoveredState recovered = Fold(node);
  Trace(node.id, "restarts at " + std::to_string(recovered.chain.height.value));
  checker_->OnRestart(node.id, recovered);
  Nonce nonce;
  for (uint8_t& byte : nonce.bytes) byte = static_cast<uint8_t>(random_.Next());
  node.nonce = nonce;
  if (std::exchange(node.told_to_rejoin, false)) recovered.doubt = "its operator says so";
  node.replica =
      std::make_unique<Replica>(IdOf(node.id), *node.signer, *verifier_, Limits(), std::move(recovered), nonce, WallOf(node));
  node.to_report = std::make_unique<EvidenceToReport>(IdOf(node.id), profile_.n);
  StartDigests(node);
  const uint64_t life = node.life;
  if (std::exchange(node.forgets, false) && faults_ && random_.Chance(0.5)) {  // again, while it learns
    node.crash_after_effects = 1 + static_cast<int>(random_.Below(40));
    node.keeps_rest = true;
  }
  Carry(node, node.replica->Start(WallOf(node)));
  if (node.life != life) return;
  for (const auto& peer : nodes_) {
    if (peer->id == node.id) continue;
    At(random_.Between(500, 30'000), [this, &node, life, id = peer->id] {
      if (node.life == life) Link(node.id, id, true);
    });
  }
  At(random_.Between(0, kTickUs), [this, &node, life] {
    if (node.life == life) Tick(node);
  });
  At(random_.Between(0, profile_.submit_every_us), [this, &node, life] {
    if (node.life == life) ClientLoop(node);
  });
}

}  // namespace dadbs::sim
