/*
 * replica_progress.cpp: when a primary is given up, and what is done before that.
 *
 * Two reasons, both only for what could be ordered at the next height by the chain alone:
 *   - the chain stands still: for the timeout, or a quarter of it where the primary is not connected;
 *   - it moves, and the first batch or incarnation of one origin is passed over again and again.
 * Before either, the backups hand the primary what it may lack: so an origin that keeps something from it, or a cut link
 * between the two, deposes nobody. A large batch counts when q members are known to hold it, since before that no
 * primary may name it. The time grows with the bytes that may be under way. Idleness, a long transaction, the queue
 * behind the first batch: no reason.
 *
 * A member without q connections, or behind the others, blames nobody: its clocks begin anew. They count `patience`,
 * which stands while this process does not run (stopped, starved, clock stepped). Each failed view doubles the timeout,
 * up to 8 times; a block sets it back. In a view that has not begun, the clock starts when q members ask for it or
 * beyond; so views cannot run away from each other.
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

namespace {
constexpr uint32_t kPassedOverMin = 4;
constexpr int64_t kTransferBytesPerUs = 10;
}  // namespace

bool Replica::State::HasQuorum() const {
  size_t connected = 1;
  for (const auto& [id, peer] : peers) connected += peer.connected;
  return connected >= q;
}

int64_t Replica::State::ViewTimeout() const {
  const int failed = std::min(views_failed, 30);
  const int64_t times = MUTATED(kTimerDoublesForEver) ? int64_t{1} << failed
                                                      : std::min<int64_t>(int64_t{1} << failed, kBackOffMax);
  const bool is_away = !IsPrimary() && !peers.at(primary().value).connected && !OthersProceed();
  return view_change_timeout_us * times / (is_away ? 4 : 1);
}

// At least one honest member has accepted a proposal for the next height in this view, and this one has none: the primary,
// which it does not reach, is there for others.
bool Replica::State::OthersProceed() const {
  auto at = votes.find(next_height().value);
  if (MUTATED(kOthersIgnored) || at == votes.end() || round.accepted || round.candidate) return false;
  std::set<uint16_t> voters;
  for (const VoteSlots* slots : {&at->second.prepares, &at->second.commits})
    for (const auto& [id, slot] : *slots)
      if (NodeId{id} != self) voters.insert(id);
  return voters.size() > FaultsTolerated(n);
}

// Who has no link to the primary hears of its proposals by the votes of others only, and of the block by their next
// heartbeat. When f + 1 of them have prepared it, it may be there by now: one after the other is asked for it.
void Replica::State::ProbeForBlock() {
  auto at = votes.find(next_height().value);
  const bool is_ahead = at != votes.end() && !round.accepted && !round.candidate &&
                        at->second.commits.size() > FaultsTolerated(n);
  if (!is_ahead) return commits_seen_at.reset();
  if (!commits_seen_at) {
    commits_seen_at = clock;
    probe_at = clock + ResendInterval(1) / 4;
  }
  if (clock < probe_at || certified.contains(next_height().value)) return;
  const VoteSlots& commits = at->second.commits;
  const auto turn = static_cast<size_t>((clock - *commits_seen_at) / ResendInterval(1)) % commits.size();
  SendNow(NodeId{std::next(commits.begin(), static_cast<int64_t>(turn))->first}, BlockRequest{next_height(), 1});
  probe_at = clock + ResendInterval(1);
}

int64_t Replica::State::TransferAllowance() const {
  uint64_t bytes = 0;
  const std::optional<Candidate>& in_flight = round.accepted ? round.accepted : round.candidate;
  if (in_flight) {
    for (const BatchRef& ref : in_flight->batches) bytes += ref.bytes;
  } else {
    for (const auto& [id, front] : fronts) bytes = std::max(bytes, front.bytes);
    for (const BatchRef& ref : bound_batches) bytes += ref.bytes;
  }
  return static_cast<int64_t>(bytes) / kTransferBytesPerUs;
}

// ---- what waits ----------------------------------------------------------------------------------------------------

const HeldBatch* Replica::State::FirstToOrder(NodeId origin) const {
  const HeldBatch* next = NextBatch(origin, chain.origin(origin));
  if (!MUTATED(kTimersOnGaps) || next) return next;
  auto queue = origins.find(origin.value);
  return queue == origins.end() || queue->second.batches.empty() ? nullptr : &queue->second.batches.begin()->second;
}

bool Replica::State::UpdateFront(NodeId origin) {
  auto queue = origins.find(origin.value);
  if (queue == origins.end()) return false;
  Front now;
  const auto& pending = queue->second.entry;
  if (pending && chain.CheckItem(*pending, genesis).empty()) {
    if (origin == self && !IsDurable(pending->journal_sequence)) return false;
    now.incarnation = pending->incarnation;
  } else if (const HeldBatch* held = FirstToOrder(origin)) {
    const BatchHeader& h = held->batch->header;
    if (origin == self && !IsDurable(h.journal_sequence)) return false;
    now.incarnation = h.incarnation;
    now.first_number = h.first_number;
    now.bytes = h.body_bytes;
  } else {
    return false;
  }
  Front& front = fronts[origin.value];
  if (front.incarnation == now.incarnation && front.first_number == now.first_number) return true;
  front = now;
  front.since = patience;
  return true;
}

void Replica::State::UpdateFronts() {
  for (const Member& member : genesis.members)
    if (!UpdateFront(member.id)) fronts.erase(member.id.value);
}

// By a proposal that is accepted now.
void Replica::State::NotePassedOver(const Block& block) {
  if (fronts.empty() || IsPrimary()) return;
  std::set<uint16_t> named;
  for (const Item& item : block.items)
    named.insert(std::visit([](const auto& i) { return i.origin; }, item).value);
  for (auto& [id, front] : fronts)
    if (!named.contains(id) && patience - front.since >= view_change_timeout_us / 4) front.passed_over++;
}

// One backup after the other, the next one in line first: mostly one copy is enough.
void Replica::State::Relay() {
  if (MUTATED(kRelayNothing) || IsPrimary() || !peers.at(primary().value).connected) return;
  const int64_t rank = (self.value + n - primary().value) % n;
  const int64_t wait = view_change_timeout_us / 8 + (rank - 1) * view_change_timeout_us / 16;
  const bool stands_still = !round.accepted && !round.candidate && patience - stalled_since >= wait;
  for (auto& [id, front] : fronts) {
    const NodeId origin{id};
    if (origin == self || origin == primary() || clock < front.relay_at || patience - front.since < wait) continue;
    if (!stands_still && front.passed_over == 0) continue;
    if (front.first_number == 0) {
      SendNow(primary(), IncarnationMessage{*origins[id].entry});
    } else if (const HeldBatch* held = NextBatch(origin, chain.origin(origin))) {
      if (!held->acks.test(Place(primary()))) SendNow(primary(), BatchMessage{held->batch});
    }
    front.relay_at = clock + ResendInterval(front.relay_back_off) +
                     static_cast<int64_t>(front.bytes) / kTransferBytesPerUs;
    front.relay_back_off = std::min(front.relay_back_off * 2, kBackOffMax);
  }
}

// ---- the verdict ---------------------------------------------------------------------------------------------------

// Null: nothing to complain of.
const char* Replica::State::WhyReplacePrimary() {
  const bool waits = round.accepted || round.candidate || IsBound() || !fronts.empty() || chain.height < view_base;
  if (!waits || NetworkHeight(true) > chain.height) {  // what one who is gone has claimed nobody can serve
    stalled_since = patience;
    return nullptr;
  }
  if (patience - stalled_since >= ViewTimeout() + TransferAllowance())
    return round.accepted ? "the primary's proposal was not agreed in time" : "the primary proposed nothing";
  const uint32_t passed_over_max = std::max(kPassedOverMin, static_cast<uint32_t>(n) + 1);
  for (const auto& [id, front] : fronts)
    if (!MUTATED(kPassedOverIgnored) && front.passed_over >= passed_over_max && patience - front.since >= 2 * ViewTimeout())
      return "the primary passes over what a member has sent";
  return nullptr;
}

void Replica::State::WatchProgress() {
  if (n == 1 || fenced) return;
  ProbeForBlock();
  if (!MaySign()) {
    stalled_since = patience;
    return;
  }
  UpdateFronts();
  if (!HasQuorum() && !MUTATED(kClockWithoutQuorum)) {
    stalled_since = patience;
    view_asked_at.reset();
    for (auto& [id, front] : fronts) front.since = patience;
    return;
  }
  if (!entered) {
    if (CountAsking(view) < q) {
      view_asked_at.reset();
      return;
    }
    if (!view_asked_at) view_asked_at = patience;
    if (patience - *view_asked_at >= ViewTimeout()) AskForView(view.next(), "the new primary did not begin its view");
    return;
  }
  if (const char* why = WhyReplacePrimary()) return AskForView(view.next(), why);
  Relay();
}

}  // namespace dadbs::core
