/*
 * mend.cpp: dadbs_internal.compare_outcomes: where what this member has come to differs first from what the group has, and the group's
 * outcomes in the place of its own.
 *
 *   1  a height for which a quorum has signed one digest, and a start: the last block up to which this member had the same, or genesis
 *   2  of the blocks between, verdicts, keys and effects are fetched from another member, block by block, folded on from the start's digest,
 *      and held against this member's. Only where the fold ends in the digest that the quorum has signed, it was the group's: who lies
 *      is left, and the next one is asked
 *   3  the order of effects within a transaction is in no digest (it matters only among changes of one row): f + 1 members must say the
 *      same of that
 *   4  to mend, apply stands still for this session (pause.h); what differs is written over, the digests behind the start are made anew,
 *      and the worker set starts again: what it has in memory came of other outcomes
 *
 * All in one transaction. Definitions, contracts, proposals, votes and evidence that ended otherwise here have left their marks in
 * catalogs; that cannot be mended by rows, and is refused.
 */
#include <algorithm>
#include <map>

#include "agreed.h"
#include "dadbs/core/crypto.h"
#include "dadbs/core/quorum.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/pause.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/subtransaction.h"
#include "outcome_rows.h"
#include "peer_history.h"
#include "progress.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dadbs_compare_outcomes);
}

namespace dadbs::pg::verify {
namespace {

constexpr long kAgreementWaitMs = 120'000;
constexpr uint64_t kHeightsPerReport = 64;
bool mended = false;  // in this transaction

struct Start {
  core::Height height;
  core::Digest digest;
};

// ---- two accounts of one block -----------------------------------------------------------------------------------------

// The first position of a block where they differ; a row that one of them does not have counts as verdict kUnknown.
std::optional<Difference> FindDifference(const core::BlockOutcomes& here, const core::BlockOutcomes& there) {
  std::optional<Difference> first;
  auto const note = [&](uint32_t index) -> Difference* {
    if (first && first->position.index <= index) return nullptr;
    first = Difference{.position = {here.height, index}};
    return &*first;
  };
  size_t h = 0, t = 0;
  while (!first && (h < here.transactions.size() || t < there.transactions.size())) {
    const auto* const ours = h < here.transactions.size() ? &here.transactions[h] : nullptr;
    const auto* const theirs = t < there.transactions.size() ? &there.transactions[t] : nullptr;
    uint32_t const index = std::min(ours != nullptr ? ours->index : UINT32_MAX, theirs != nullptr ? theirs->index : UINT32_MAX);
    bool const in_ours = ours != nullptr && ours->index == index, in_theirs = theirs != nullptr && theirs->index == index;
    if (!in_ours || !in_theirs || *ours != *theirs) {
      Difference* const d = note(index);
      if (in_ours) d->here = {ours->verdict, ours->keys};
      if (in_theirs) d->there = {theirs->verdict, theirs->keys};
    }
    h += in_ours ? 1 : 0;
    t += in_theirs ? 1 : 0;
  }
  size_t const common = std::min(here.effects.size(), there.effects.size());
  size_t e = 0;
  while (e < common && here.effects[e] == there.effects[e]) e++;
  if (e == here.effects.size() && e == there.effects.size()) return first;
  // Of two effects the one that comes first is missing on the other side.
  auto const rank = [](const auto& x) { return std::tie(x.index, x.contract, x.change, x.ordinal); };
  auto const before = [&](const auto& a, const auto& b) { return rank(a) < rank(b); };
  bool const is_here = e < here.effects.size() && (e == there.effects.size() || before(here.effects[e], there.effects[e]));
  const core::BlockOutcomes::Effect& effect = is_here ? here.effects[e] : there.effects[e];
  if (Difference* const d = note(effect.index)) {
    d->effect = effect.change;
    d->effect_is_here = is_here;
  }
  return first;
}

// ---- one peer's account of all blocks ----------------------------------------------------------------------------------

class Comparison {
 public:
  Comparison(const Member& member, core::Prefix applied, Working* working) : member_(member), applied_(applied), working_(working) {}

  // What a member says from `start` on. False: it does not end in what the quorum has signed. `mends`: what differs is written over.
  bool Follow(core::NodeId whom, const Start& start, const Agreed& agreed, bool mends);
  const std::optional<Difference>& first() const { return first_; }
  const core::Digest& account() const { return account_; }  // hash of all that was said
  uint64 differing() const { return differing_; }           // blocks
  const std::optional<Start>& stands_at() const { return stands_at_; }  // the digest where this member stands

 private:
  void OneBlock(const core::BlockOutcomes& theirs, OwnOutcomes* own, bool mends);

  const Member& member_;
  core::Prefix applied_;
  Working* working_;
  std::optional<Difference> first_;
  core::Digest account_;
  uint64 differing_ = 0;
  std::optional<Start> stands_at_;
};

void Comparison::OneBlock(const core::BlockOutcomes& theirs, OwnOutcomes* own, bool mends) {
  core::BlockOutcomes const ours = own->Next();
  std::optional<Difference> const difference = FindDifference(ours, theirs);
  if (!difference) return;
  if (!first_) first_ = difference;
  differing_++;
  if (!mends) return;
  MemoryContext const outer = CurrentMemoryContext;
  MemoryContext const context = Call([&] { return AllocSetContextCreate(outer, "dadbs mended block", ALLOCSET_DEFAULT_SIZES); });
  WriteOutcomes(ours, theirs, context);
  Call([&] {
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(context);
  });
}

bool Comparison::Follow(core::NodeId whom, const Start& start, const Agreed& agreed, bool mends) {
  first_.reset();
  stands_at_.reset();
  differing_ = 0;
  account_ = {};
  core::EffectsDigest digest(start.height, start.digest);
  core::Height const stands = core::WholeBlocks(applied_);
  if (start.height == stands) stands_at_ = start;
  OwnOutcomes own(start.height.next(), std::min(stands, agreed.height));
  PeerHistory peer(whom, core::HistoryPart::kOutcomes, start.height.next());
  core::Bytes element;
  core::BlockOutcomes theirs;
  working_->Phase("comparing with a member", member_.genesis.Find(whom)->name.c_str(), agreed.height.value - start.height.value);
  while (digest.height() < agreed.height) {
    if (!peer.Next(&element) || !core::BlockOutcomes::Decode(element, &theirs) || theirs.height != digest.height().next()) return false;
    theirs.FoldInto(&digest);
    account_ = core::Hash(core::Domain::kEffects, {core::Bytes(account_.view().begin(), account_.view().end()), element});
    if (theirs.height <= stands) OneBlock(theirs, &own, mends);
    if (theirs.height == stands) stands_at_ = Start{stands, digest.digest()};
    if (theirs.height.value % kHeightsPerReport == 0) working_->Done(theirs.height.value - start.height.value);
  }
  return digest.digest() == agreed.digest;
}

// ---- all of them -------------------------------------------------------------------------------------------------------

// Where this member had the same as a quorum when it was found to differ, by its own digest of that height; else genesis.
std::vector<Start> Starts(const Member& member, bool from_genesis) {
  if (from_genesis) return {{core::Height{0}, member.genesis.chain_id()}};
  std::vector<Start> starts;
  Cursor found("SELECT s.height, s.digest FROM dadbs_internal.state_digest s"
               " WHERE s.height = (SELECT d.agreed FROM dadbs_internal.divergence d ORDER BY d.height LIMIT 1)", 1);
  Start start;
  if (!found.done() && found.Bytes(2).size() == start.digest.bytes.size()) {
    start.height = core::Height{static_cast<uint64_t>(found.Number(1))};
    memcpy(start.digest.bytes.data(), found.Bytes(2).data(), start.digest.bytes.size());
    starts.push_back(start);
  }
  starts.push_back({core::Height{0}, member.genesis.chain_id()});
  return starts;
}

// At once, and again when it is committed: workers that were starting meanwhile may have read what was there before.
void OnTransactionEnd(XactEvent event, void*) {
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT) return;
  if (mended) pg_atomic_write_u32(&shared->outcomes_mended, event == XACT_EVENT_COMMIT ? 1 : 0);
  if (mended) WakeWorker(&shared->apply);
  mended = false;
}

void TellWorkers() {
  static bool registered = false;
  if (!registered) Call([] { RegisterXactCallback(OnTransactionEnd, nullptr); });
  registered = mended = true;
  pg_atomic_write_u32(&shared->outcomes_mended, 1);
}

struct Found {
  std::optional<Difference> first;
  uint64 differing = 0;
};

// f + 1 members that say the same, order of effects and all; one of them is honest. None: too few did, from this start. Any member will
// do: that what it says ends in the digest that was signed is what counts.
std::vector<core::NodeId> FindWitnesses(const Member& member, const Start& start, const Agreed& agreed, Comparison* comparison) {
  size_t const needed = std::min(core::FaultsTolerated(member.genesis.members.size()) + 1, member.genesis.members.size() - 1);
  std::map<core::Digest, std::vector<core::NodeId>> said;
  for (const core::Member& m : member.genesis.members) {
    if (m.id == member.self || !comparison->Follow(m.id, start, agreed, false)) continue;
    std::vector<core::NodeId>& same = said[comparison->account()];
    same.push_back(m.id);
    if (same.size() >= needed) return same;
  }
  return {};
}

[[noreturn]] void NobodyTells(const Agreed& agreed) {
  throw PgError(kErrState, "no other member could be asked what it has come to up to block " + std::to_string(agreed.height.value),
                "Those that were asked said nothing, or not what a quorum has signed.", "dadbs.status says who is connected. Call it again.");
}

// Who has said it once need not say it again.
void WriteWhatIsSaid(const std::vector<core::NodeId>& witnesses, const Start& start, const Agreed& agreed, Comparison* comparison) {
  core::Digest const account = comparison->account();
  for (core::NodeId witness : witnesses) {
    bool same = false;
    bool const done = Try([&] {
      same = comparison->Follow(witness, start, agreed, true) && comparison->account() == account && comparison->stands_at();
      if (!same) throw PgError(kErrState, "another account than before");
      ReplaceDigests(start.height, comparison->stands_at()->height, comparison->stands_at()->digest);
    }, kErrNotSupported);
    if (done) return;
  }
  NobodyTells(agreed);
}

// A quorum may have come to this member's own after all: where there was none, and members that were wrong have begun anew. Those who
// could be asked are too few then. Only then, since of the order of effects within a transaction no digest says anything.
bool IsAgreed(const Member& member, const Agreed& agreed, core::Prefix applied, bool from_genesis) {
  if (agreed.height > core::WholeBlocks(applied)) return false;
  for (const Start& start : Starts(member, from_genesis)) {
    if (start.height > agreed.height) continue;
    core::EffectsDigest folded(start.height, start.digest);
    for (OwnOutcomes own(start.height.next(), agreed.height); folded.height() < agreed.height;) own.Next().FoldInto(&folded);
    if (folded.digest() == agreed.digest) return true;
  }
  return false;
}

// In the active snapshot.
Found CompareWith(const Member& member, const Agreed& agreed, core::Prefix applied, bool from_genesis, bool mends, Working* working) {
  // Where there was no quorum the others are as diverged as this one, and answer nothing until it is given up.
  bool const was_undecided = !Cursor("SELECT height FROM dadbs_internal.divergence WHERE no_quorum", 1).done();
  if (was_undecided && IsAgreed(member, agreed, applied, from_genesis)) return {};
  Comparison comparison(member, applied, working);
  for (const Start& start : Starts(member, from_genesis)) {
    if (start.height > agreed.height) continue;
    std::vector<core::NodeId> const witnesses = FindWitnesses(member, start, agreed, &comparison);
    if (witnesses.empty()) continue;
    Found const found{comparison.first(), comparison.differing()};
    if (mends && found.first) {
      TellWorkers();
      WriteWhatIsSaid(witnesses, start, agreed, &comparison);
    }
    return found;
  }
  if (IsAgreed(member, agreed, applied, from_genesis)) return {};
  NobodyTells(agreed);
}

Found Compare(bool mends, bool from_genesis) {
  const Member* const member = CurrentMember();
  if (member == nullptr) throw PgError(kErrNotConfigured, "this server is not a member of a cluster");
  Working working(mends ? "mend" : "compare");
  auto const await = [&](core::Height least) {
    working.Phase("waiting for a digest of the others", "", 0);
    std::optional<Agreed> agreed = AwaitAgreedDigest(*member, least, false, kAgreementWaitMs);
    if (!agreed)
      throw PgError(kErrState, "no quorum has signed one digest of what it has come to", "There is nothing that this member could be compared with.",
                    "dadbs.state_digests shows what each has signed, dadbs.status who is connected.");
    return *agreed;
  };
  Agreed agreed = await(core::Height{1});  // nothing stands still for it where there is none
  if (mends) {
    working.Phase("waiting for its turn", "", 0);
    TakeTurn();
    agreed = await(core::WholeBlocks(Applied()));
  }
  Call([] { PushActiveSnapshot(GetLatestSnapshot()); });  // the caller's is older than the turn
  Found const found = CompareWith(*member, agreed, Applied(), from_genesis, mends, &working);
  Call([] { PopActiveSnapshot(); });
  if (mends && !HoldsTurn()) throw PgError(kErrConflict, "the apply worker was restarted meanwhile", "", "Call it again.");
  return found;
}

}  // namespace
}  // namespace dadbs::pg::verify

using namespace dadbs::pg;

extern "C" Datum dadbs_compare_outcomes(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    bool const mends = PG_GETARG_BOOL(0);
    ReturnSetInfo* const set = BeginSet(fcinfo);
    Call([&] {
      if (!superuser()) ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only superusers compare what members have come to")));
      if (mends && IsolationUsesXactSnapshot())
        ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE), errmsg("outcomes are mended in READ COMMITTED only")));
      if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    });
    verify::Found const found = verify::Compare(mends, PG_GETARG_BOOL(1));
    if (found.first) {
      const verify::Difference& d = *found.first;
      std::optional<int32> const change = verify::FindChange(d);
      Row row;
      row.Int64(static_cast<int64>(d.position.height.value)).Int32(static_cast<int32>(d.position.index)).Text(verify::NameOf(d));
      row.Int16(static_cast<int16>(d.here.verdict)).Int16(static_cast<int16>(d.there.verdict));
      if (change) row.Int32(*change); else row.Null();
      if (d.effect.empty()) row.Null(); else row.Bytes(d.effect);
      row.Bool(d.effect_is_here).Int64(static_cast<int64>(found.differing)).Put(set);
    }
    Call([] { SPI_finish(); });
    return static_cast<Datum>(0);
  });
}
