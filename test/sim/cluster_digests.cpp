/*
 * cluster_digests.cpp: what members come to, and say of it (cluster.h): their tables, rows that flip, digests on their way.
 *
 * Tables follow the deliveries. A digest is taken at each kDigestInterval-th height and where the chain stands still, and is said
 * when it is durable; a crash may leave the tables as they were then. A journal that is rolled back leaves them as they are.
 */
#include <algorithm>
#include <utility>

#include "../../src/core/replica_mutation.h"
#include "cluster.h"
#include "dadbs/core/quorum.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

constexpr uint64_t kDigestInterval = 8;
constexpr uint64_t kWindow = kDigestInterval;  // of a deliberate mistake
constexpr int64_t kStillUs = 100'000;
constexpr int64_t kRepeatUs = 200'000;
constexpr int64_t kDigestBoundUs = 1'000'000;  // from the last block to all that have to find something
constexpr int kRestsMax = 10;

DigestLimits ModelLimits() {
  DigestLimits limits;
  limits.repeat_interval_us = kRepeatUs;
  return limits;
}

}  // namespace

// ---- rows that flip ------------------------------------------------------------------------------------------------

void Cluster::DrawDivergence() {
  Profile& p = profile_;
  if (!dice_.Chance(0.35)) return;
  std::vector<NodeId> members;
  for (size_t i = 1; i <= p.n; i++) members.push_back(NodeId{static_cast<uint16_t>(i)});
  for (size_t i = members.size(); i > 1; i--) std::swap(members[i - 1], members[dice_.Below(i)]);
  const size_t bearable = FaultsTolerated(p.n) - (p.faulty == kNobody ? 0 : 1);
  const uint64_t kind = dice_.Below(10);
  size_t count = 1 + dice_.Below(p.n);
  if (kind < 6) count = std::min<size_t>(count, std::max<size_t>(bearable, 1));
  if (kind < 8) {
    for (size_t i = 0; i < count; i++) p.flips[members[i]] = dice_.Between(0, p.fault_phase_us + 200'000);
  } else {
    p.same_fault_at_us = dice_.Between(0, p.fault_phase_us);
    p.same_fault.insert(members.begin(), members.begin() + static_cast<int64_t>(count));
  }
}

void Cluster::StartFlips() {
  for (const auto& [id, at_us] : profile_.flips)
    At(at_us, [this, id = id] { FlipRow(node(id), dice_.Below(kModelRows), dice_.Next() | 1); });
  if (profile_.same_fault.empty()) return;
  At(profile_.same_fault_at_us, [this] {
    const Fault fault{Height{checker_->top().value + 1 + dice_.Below(10)}, dice_.Below(kModelRows), dice_.Next() | 1};
    for (NodeId id : profile_.same_fault) node(id).fault = fault;
    summary_.flipped += profile_.same_fault.size();
  });
}

// Also in what it finds after a crash.
void Cluster::FlipRow(Node& node, size_t row, uint64_t by) {
  Trace(node.id, "has another row at " + std::to_string(node.tables->height().value));
  node.tables->Flip(row, by);
  node.kept->Flip(row, by);
  summary_.flipped++;
}

// ---- tables --------------------------------------------------------------------------------------------------------

void Cluster::StartDigests(Node& node) {
  node.digests = std::make_unique<DigestExchange>(IdOf(node.id), genesis_, *node.signer, *verifier_, ModelLimits());
  auditor_->OnStart(node.id);
  if (MUTATED(kFindingForgotten)) node.has_found = false;
  Apply(node, checker_->delivered(node.id));
}

void Cluster::ForgetDigests(Node& node) {
  if (dice_.Chance(0.5)) node.tables = node.kept;
  node.taken = node.kept->height();
  node.writes_finding = false;
  node.digests.reset();
}

// A faulty member may be ahead of what any honest one has delivered: it waits.
void Cluster::Apply(Node& node, Height height) {
  height = std::min(height, checker_->top());
  while (node.tables->height() < height) {
    const Height next = node.tables->height().next();
    if (node.fault && node.fault->height == next) node.tables->Flip(node.fault->row, node.fault->by);
    node.tables->Execute(auditor_->WorkAt(next));
    auditor_->OnExecuted(node.id, IdOf(node.id), *node.tables);
    if (next.value % kDigestInterval == 0) TakeDigest(node);
  }
}

void Cluster::TakeDigest(Node& node) {
  node.taken = node.tables->height();
  const std::pair digest{node.taken, node.tables->effects.digest()};
  if (MUTATED(kDigestBeforeDurable)) node.digest = digest;
  const uint64_t life = node.life;
  At(dice_.Between(profile_.disk_min_us, profile_.disk_max_us), [this, &node, life, digest, kept = *node.tables] {
    if (node.life != life || kept.height() <= node.kept->height()) return;
    node.kept = kept;
    node.digest = digest;
  });
}

// ---- digests on their way ------------------------------------------------------------------------------------------

void Cluster::SayDigest(Node& node) {
  const Height height = node.tables->height();
  if (height != node.seen) node.seen = height, node.seen_at = now_;
  if (height > node.taken && now_ - node.seen_at >= kStillUs) TakeDigest(node);
  if (!node.digests->Due(node.digest.first, WallOf(node))) return;
  const ReplicaStatus status = node.replica->status();
  if (!status.incarnation_open || status.fenced) return;
  const auto before = node.digests->own();
  const DigestExchange::Standing standing{status.incarnation, node.first_sequence + node.durable - 1};
  const auto& own = node.digests->Say(node.digest.first, node.digest.second, standing, WallOf(node));
  if (!own) return;
  const bool is_new = !before || before->height != own->height;
  if (is_new && !checker_->IsFaulty(node.id)) auditor_->OnSaid(node.id, *own, node.kept->height());
  SendDigest(node, kNobody);
  NoteFinding(node);
}

void Cluster::Greet(Node& node, NodeId peer) {
  if (node.digests->own()) SendDigest(node, peer);
}

// One message to each; of a liar none, another, or several.
void Cluster::SendDigest(Node& node, NodeId to) {
  const StateDigest own = *node.digests->own();
  const bool lies = checker_->IsFaulty(node.id);
  if (options_.trace) Trace(node.id, "says digest " + std::to_string(own.height.value) + " " + ToHex(own.digest.view().subspan(0, 3)));
  summary_.digests++;
  if (!lies) digest_liar_->Observe(own);
  for (const auto& peer : nodes_) {
    if (IdOf(peer->id) == IdOf(node.id) || (to != kNobody && to != IdOf(peer->id))) continue;
    if (!lies) Transmit(node.id, peer->id, StateDigestMessage{own});
    if (!lies) continue;
    for (const StateDigest& lie : digest_liar_->Lies(node.id, *node.signer, own)) {
      if (lie.envelope.signer == node.id) auditor_->OnSigned(lie);
      Transmit(node.id, peer->id, StateDigestMessage{lie});
    }
  }
}

void Cluster::HearDigest(Node& node, NodeId from, const StateDigest& state) {
  const Height delivered = checker_->delivered(node.id);
  auditor_->OnShown(node.id, from, state, delivered, WallOf(node));
  const std::string why = node.digests->Receive(from, state, delivered, WallOf(node));
  if (!why.empty()) {
    summary_.rejected++;
    if (options_.script) options_.script->OnRejected(node.id);
    Trace(node.id, "rejects " + std::to_string(from.value) + ": " + why);
  }
  NoteFinding(node);
}

// Written down a little later; the first one stays.
void Cluster::NoteFinding(Node& node) {
  const bool is_honest = !checker_->IsFaulty(node.id);
  if (is_honest) auditor_->Judge(node.id, IdOf(node.id), *node.digests);
  if (!node.digests->finding() || node.has_found || node.writes_finding) return;
  const auto& found = *node.digests->finding();
  Trace(node.id, (found.no_quorum ? "finds no quorum at " : "has diverged at ") + std::to_string(found.height.value) + ", agreed at " +
                     std::to_string(found.agreed.value));
  summary_.found++;
  node.writes_finding = true;
  const uint64_t life = node.life;
  At(dice_.Between(profile_.disk_min_us, profile_.disk_max_us), [this, &node, life, is_honest] {
    if (node.life != life) return;
    node.has_found = true;
    if (is_honest) auditor_->OnFoundDurably(node.id);
  });
}

void Cluster::DigestAttackLoop() {
  if (!faults_) return;
  if (auto attack = digest_liar_->Forge()) {
    Node& victim = *nodes_[dice_.Below(nodes_.size())];
    if (victim.replica && IdOf(victim.id) != attack->first) HearDigest(victim, attack->first, attack->second);
  }
  At(dice_.Between(0, static_cast<int64_t>(4 * profile_.attack_every_us)), [this] { DigestAttackLoop(); });
}

// A deliberate mistake: the window of a primary closes over heights that no quorum has signed the same digest of.
bool Cluster::AwaitsDigests(const Message& message, const Node& node) const {
  const auto* proposal = std::get_if<ProposalMessage>(&message);
  return MUTATED(kOrderWaitsForDigests) && proposal && proposal->block->header.height.value > node.digests->agreed().value + kWindow;
}

// All is well: who has anything to find has found it some time after the chain has come to stand still, and nobody else
// refuses writes.
void Cluster::JudgeDigests() {
  for (int i = 0; i < kRestsMax; i++) {
    const Height top = checker_->top();
    RunFor(kDigestBoundUs);
    UnfenceAsOperator();
    if (checker_->top() == top && Settled()) break;
  }
  std::vector<Auditor::AtRest> members;
  for (const auto& node : nodes_) {
    if (checker_->IsFaulty(node->id) || node->id == away_) continue;
    members.push_back({node->id, IdOf(node->id), HasFound(*node)});
    if (!HasFound(*node) && !TakesWrites(*node)) throw Failure("member " + std::to_string(node->id.value) + " takes no writes and has found nothing");
  }
  auditor_->JudgeAtRest(members);
  summary_.diverged = auditor_->Differing();
}

}  // namespace dadbs::sim
