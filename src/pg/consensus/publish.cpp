/*
 * publish.cpp: see publish.h. Writes nodes[], member_state, member_reason and waiting_for under shared->lock; can_write
 * and counters are atomics.
 */
#include "publish.h"

#include <algorithm>

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/records.h"

namespace dadbs::pg {
namespace {

constexpr uint64_t kCatchingUpBlocks = 32;       // further behind the others than that: not an ordinary moment's lag
constexpr int64_t kSampleInterval_us = 500'000;
constexpr size_t kSamplesMax = 20;               // the rate is that of the last ten seconds
constexpr int64_t kStalledAfter_us = 1'000'000;  // an ordinary agreement is not worth a word

TimestampTz ToTimestamp(int64_t unix_us) { return unix_us == 0 ? 0 : unix_us - kPostgresEpochUs; }

std::string Blocks(uint64_t n) { return std::to_string(n) + (n == 1 ? " block" : " blocks"); }

const net::PeerStats* FindPeer(const PublishedInputs& inputs, core::NodeId id) {
  for (const net::PeerStats& p : inputs.peers)
    if (p.id == id) return &p;
  return nullptr;
}

std::string ReadText(const char (&text)[kReasonBytes]) {
  char copy[kReasonBytes];
  LWLockAcquire(shared->lock, LW_SHARED);
  strlcpy(copy, text, sizeof(copy));
  LWLockRelease(shared->lock);
  return copy;
}

// A reason that was set by a broken invariant stays until the server restarts.
void SetState(MemberState state, const std::string& reason, const std::string& waiting_for) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  if (GetMemberState() != MemberState::kHalted) {
    pg_atomic_write_u32(&shared->member_state, static_cast<uint32>(state));
    strlcpy(shared->member_reason, reason.c_str(), sizeof(shared->member_reason));
  }
  strlcpy(shared->waiting_for, waiting_for.c_str(), sizeof(shared->waiting_for));
  LWLockRelease(shared->lock);
}

}  // namespace

StatusPublisher::StatusPublisher(const Member& member) : member_(member) {
  static_assert(kNodesShownMax <= core::kNodesMax);
}

void StatusPublisher::NoteClaim(core::NodeId from, const core::StatusMessage& message) {
  claims_[from] = {message.committed.value, message.applied.value};
}

// The highest height that f+1 others claim to have: one of them is honest.
uint64_t StatusPublisher::NetworkHeight() const {
  std::vector<uint64_t> heights;
  for (const auto& [id, claim] : claims_) heights.push_back(claim.committed);
  size_t const f = core::FaultsTolerated(member_.genesis.members.size());
  if (heights.size() <= f) return 0;
  std::sort(heights.rbegin(), heights.rend());
  return heights[f];
}

std::string StatusPublisher::NameWithReason(const PublishedInputs& inputs, core::NodeId id) const {
  const core::Member* const node = member_.genesis.Find(id);
  std::string text = node == nullptr ? "node " + std::to_string(id.value) : node->name;
  const net::PeerStats* const peer = FindPeer(inputs, id);
  if (peer != nullptr && !peer->connected)
    text += peer->last_error.empty() ? " (not connected)" : " (" + peer->last_error + ")";
  return text;
}

std::string StatusPublisher::Missing(const PublishedInputs& inputs, const std::vector<core::NodeId>& ids) const {
  std::string text;
  for (core::NodeId id : ids) text += (text.empty() ? "" : ", ") + NameWithReason(inputs, id);
  return text;
}

std::string StatusPublisher::Names(const std::vector<core::NodeId>& ids) const {
  std::string text;
  for (core::NodeId id : ids) {
    const core::Member* const node = member_.genesis.Find(id);
    text += (text.empty() ? "" : ", ") + (node == nullptr ? std::to_string(id.value) : node->name);
  }
  return text;
}

// The rate is measured at what matters, the applied height, over the last seconds.
void StatusPublisher::PublishCatchUp(const PublishedInputs& in, int64_t now_us) {
  uint64_t const applied = core::WholeBlocks(core::Prefix{pg_atomic_read_u64(&shared->applied)}).value;
  uint64_t const target = std::max(NetworkHeight(), in.replica.delivered.value);
  CatchUp now = {};
  if (target > applied + kCatchingUpBlocks) {
    if (behind_since_us_ == 0) behind_since_us_ = now_us;
    if (samples_.empty() || now_us - samples_.back().at_us >= kSampleInterval_us || now_us < samples_.back().at_us)
      samples_.push_back({now_us, applied});
    if (samples_.size() > kSamplesMax) samples_.pop_front();
    now.target = target;
    now.since = ToTimestamp(behind_since_us_);
    now.waits_for_apply = in.replica.waits_for_apply;
    int64_t const took_us = now_us - samples_.front().at_us;
    if (took_us > 0 && applied >= samples_.front().applied)
      now.milliblocks_per_second = (applied - samples_.front().applied) * 1'000'000'000 / static_cast<uint64_t>(took_us);
    strlcpy(now.servers, Names(in.replica.servers).c_str(), sizeof(now.servers));
    strlcpy(now.servers_left, Names(in.replica.servers_left).c_str(), sizeof(now.servers_left));
  } else {
    behind_since_us_ = 0;
    samples_.clear();
  }
  catch_up_ = now;
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  shared->catch_up = now;
  LWLockRelease(shared->lock);
}

std::string StatusPublisher::Progress(uint64_t applied) const {
  const CatchUp& c = catch_up_;
  std::string text = "applied " + std::to_string(applied) + " of " + Blocks(c.target);
  if (c.milliblocks_per_second < 1000) return text;
  uint64_t const left_s = c.target > applied ? (c.target - applied) * 1000 / c.milliblocks_per_second : 0;
  return text + ", " + std::to_string(c.milliblocks_per_second / 1000) + " per second, about " + std::to_string(left_s + 1) + " s left";
}

StatusPublisher::Decision StatusPublisher::Diverged(const Divergence& found) const {
  std::string const between = found.agreed == 0 ? "at or before block " + std::to_string(found.height)
                                                : "between block " + std::to_string(found.agreed) + " and block " + std::to_string(found.height);
  if (found.no_quorum)
    return {MemberState::kDiverged, "members have come to different states " + between + ", and none to one that a quorum shares",
            "somebody to find out who is right"};
  return {MemberState::kDiverged, "its tables or verdicts differ from what a quorum has come to: since a position " + between,
          "somebody to make it equal again"};
}

// It signs nothing, follows the chain, and says for what and whom it waits.
StatusPublisher::Decision StatusPublisher::Rejoining(const PublishedInputs& in, uint64_t network, uint64_t applied) const {
  const core::ReplicaStatus& r = in.replica;
  std::string reason = std::string("it may have forgotten what it signed, so it does not vote: ") + r.doubt;
  if (!r.threshold)
    return {MemberState::kRejoining,
            reason + "; " + std::to_string(r.answers) + " of " + std::to_string(r.answers_needed) + " members have said where they stand",
            Missing(in, r.missing)};
  reason += "; it votes again above block " + std::to_string(r.threshold->value);
  if (network > r.delivered.value + kCatchingUpBlocks)
    return {MemberState::kRejoining, reason + "; " + Progress(applied),
            r.servers.empty() ? "their blocks" : "blocks of " + Names(r.servers)};
  return {MemberState::kRejoining, reason, "blocks of the others, with the beginning of its incarnation"};
}

StatusPublisher::Decision StatusPublisher::Decide(const PublishedInputs& in, int64_t now_us) const {
  const core::ReplicaStatus& r = in.replica;
  uint64_t const delivered = r.delivered.value;
  uint64_t const applied = core::WholeBlocks(core::Prefix{pg_atomic_read_u64(&shared->applied)}).value;
  uint64_t const network = NetworkHeight();
  if (r.fenced)
    return {MemberState::kHalted,
            "another server runs with this member's key: it has begun an incarnation that this one did not",
            "one of the two to be removed"};
  if (!in.journal_problem.empty())
    return {MemberState::kJournalFailing, in.journal_problem, "the journal to be writable again"};
  if (pg_atomic_read_u32(&shared->replay_done) == 0) {
    if (std::string const why = ReadText(shared->apply_reason); !why.empty()) return {MemberState::kReplaying, why, "somebody to mend it"};
    uint64_t const target = pg_atomic_read_u64(&shared->replay_target);
    return {MemberState::kReplaying,
            target == 0 ? "its workers start" : "applied " + std::to_string(applied) + " of " + Blocks(target) + " in the journal",
            "the apply worker"};
  }
  bool const is_known = pg_atomic_read_u32(&shared->divergence_known) != 0;  // before: it is set after `divergence`
  LWLockAcquire(shared->lock, LW_SHARED);
  Divergence const found = shared->divergence;
  LWLockRelease(shared->lock);
  if (is_known && found.height != 0) return Diverged(found);
  if (in.isolated)
    return {MemberState::kWaitingForQuorum, "its links are cut by dadbs_internal.set_isolated()",
            "the links to be healed"};
  std::vector<core::NodeId> unconnected;
  for (const net::PeerStats& p : in.peers)
    if (!p.connected) unconnected.push_back(p.id);
  if (!r.has_quorum) {
    size_t const n = member_.genesis.members.size();
    return {MemberState::kWaitingForQuorum,
            std::to_string(n - unconnected.size()) + " of " + std::to_string(n) + " members are connected, " +
                std::to_string(member_.genesis.quorum()) + " are needed",
            Missing(in, unconnected)};
  }
  if (r.memory == core::Memory::kUnchecked)
    return {MemberState::kStarting,
            "the others are asked what it has signed: " + std::to_string(r.answers) + " of " + std::to_string(r.answers_needed) +
                " have answered",
            Missing(in, r.missing)};
  if (r.memory == core::Memory::kLearner) return Rejoining(in, network, applied);
  if (network > delivered + kCatchingUpBlocks)
    return {MemberState::kCatchingUp, Blocks(network - delivered) + " behind the others: " + Progress(applied),
            r.waits_for_apply ? "the apply worker" : r.servers.empty() ? "their blocks" : "blocks of " + Names(r.servers)};
  if (delivered > applied + static_cast<uint64_t>(guc_apply_lag_blocks_max))
    return {MemberState::kCatchingUp, Blocks(delivered - applied) + " agreed but not applied here", "the apply worker"};
  if (pg_atomic_read_u64(&shared->capture_from_xid) == 0) {
    std::string const whom = ReadText(shared->capture_reason);
    return {MemberState::kStarting, "the capture worker is starting", whom.empty() ? "the capture worker" : whom};
  }
  if (!is_known) return {MemberState::kStarting, "whether it is equal to the others is being read", "the blocks worker"};
  std::string stalled;
  if (std::string_view(r.phase) != "idle" && now_us - r.phase_since_us > kStalledAfter_us && !r.missing.empty())
    stalled = Missing(in, r.missing) + " (" + r.phase + ", block " + std::to_string(delivered + 1) + ")";
  if (!r.incarnation_open)
    return {MemberState::kStarting,
            "the beginning of its incarnation " + std::to_string(r.incarnation) + " is not on the chain yet",
            stalled.empty() ? "a block" : stalled};
  return {MemberState::kReady, ReadText(shared->apply_reason), stalled};
}

void StatusPublisher::FillNodes(const PublishedInputs& in) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  uint32 i = 0;
  for (const core::Member& m : member_.genesis.members) {
    NodeStatus& node = shared->nodes[i++];
    memset(static_cast<void*>(&node), 0, sizeof(node));
    node.id = m.id.value;
    strlcpy(node.name, m.name.c_str(), sizeof(node.name));
    strlcpy(node.address, m.address.c_str(), sizeof(node.address));
    memcpy(node.key, m.key.bytes.data(), sizeof(node.key));
    node.is_primary = m.id == in.replica.primary;
    node.connected = m.id == member_.self;
    if (auto const said = in.digests.find(m.id); said != in.digests.end()) {
      node.digest_height = said->second.first.value;
      memcpy(node.digest, said->second.second.bytes.data(), sizeof(node.digest));
    }
    if (auto const claim = claims_.find(m.id); claim != claims_.end()) {
      node.committed = claim->second.committed;
      node.applied = claim->second.applied;
    }
    const net::PeerStats* const peer = FindPeer(in, m.id);
    if (peer == nullptr) continue;
    node.connected = peer->connected;
    node.last_seen = ToTimestamp(peer->last_seen_us);
    node.connected_since = peer->connected ? ToTimestamp(peer->connected_since_us) : 0;
    node.bytes_sent = peer->bytes_sent;
    node.bytes_received = peer->bytes_received;
    node.queued_bytes = peer->queued_bytes;
    if (!peer->connected) strlcpy(node.reason, peer->last_error.c_str(), sizeof(node.reason));
  }
  pg_atomic_write_u32(&shared->node_count, i);
  LWLockRelease(shared->lock);
}

// Changes of the state, not of its details: those move all the time.
void StatusPublisher::Log(const Decision& d) {
  std::string const name = MemberStateName(d.state);
  if (name == logged_) return;
  logged_ = name;
  std::string const text = name + (d.reason.empty() ? "" : ": " + d.reason) +
                           (d.waiting_for.empty() ? "" : "; waiting for " + d.waiting_for);
  const char* const shown = text.c_str();
  Call([&] { ereport(LOG, (errmsg("dadbs: this member is %s", shown))); });
}

void StatusPublisher::LogView(const core::ReplicaStatus& r) {
  if (r.view.value == logged_view_ && r.view_entered == logged_entered_) return;
  logged_view_ = r.view.value;
  logged_entered_ = r.view_entered;
  const core::Member* const primary = member_.genesis.Find(r.primary);
  const char* const name = primary == nullptr ? "?" : primary->name.c_str();
  auto const view = static_cast<unsigned long long>(r.view.value);
  auto const next = static_cast<unsigned long long>(r.committed.value + 1);
  const char* const why = r.view_reason;
  if (r.view_entered)
    Call([&] { ereport(LOG, (errmsg("dadbs: view %llu has begun; the primary is \"%s\"", view, name))); });
  else
    Call([&] {
      ereport(LOG, (errmsg("dadbs: this member asks for view %llu, with \"%s\" as the primary", view, name),
                    errdetail("Block %llu does not come: %s.", next, why)));
    });
}

// Also what has passed since the last look.
void StatusPublisher::LogMemory(const core::ReplicaStatus& r) {
  if (r.doubts != logged_doubts_) {
    logged_doubts_ = r.doubts;
    const char* const why = r.doubt;
    Call([&] {
      ereport(LOG, (errmsg("dadbs: this member may have forgotten what it signed: %s", why),
                    errdetail("It votes for nothing until it has come back.")));
    });
  }
  if (r.rejoined == logged_rejoined_) return;
  logged_rejoined_ = r.rejoined;
  auto const incarnation = static_cast<unsigned long long>(r.incarnation);
  Call([&] { ereport(LOG, (errmsg("dadbs: this member has rejoined, with incarnation %llu", incarnation))); });
}

void StatusPublisher::Publish(const PublishedInputs& in, int64_t now_us) {
  LogView(in.replica);
  LogMemory(in.replica);
  FillNodes(in);
  pg_atomic_write_u64(&shared->view, in.replica.view.value);
  pg_atomic_write_u32(&shared->primary_id, in.replica.primary.value);
  pg_atomic_write_u64(&shared->incarnation, in.replica.incarnation);
  pg_atomic_write_u64(&shared->network_height, NetworkHeight());
  pg_atomic_write_u64(&shared->journal_bytes, in.journal_bytes);
  pg_atomic_write_u64(&shared->journal_syncs, in.journal_syncs);
  pg_atomic_write_u64(&shared->refused_peers, in.refused_peers);
  PublishCatchUp(in, now_us);
  Decision const decision = Decide(in, now_us);
  SetState(decision.state, decision.reason, decision.waiting_for);
  pg_atomic_write_u32(&shared->can_write, GetMemberState() == MemberState::kReady ? 1 : 0);
  Log(decision);
}

}  // namespace dadbs::pg
