/*
 * approval.cpp: proposals at their positions: how members agree on what none of them may do alone.
 *
 * A proposal is one transaction: its text, the role and search_path under which it would run, and a number of its own. Votes
 * are transactions, too. Who votes is the member that the transaction comes from, which has signed its batch: one vote each, the
 * proposer's first. The vote that makes them enough executes the text on every member at its position, statement by statement as
 * a definition there would be, in a subtransaction: an error makes the proposal `failed`, with its message, and the vote stands.
 * What is this member's own failure rolls all back and is retried, as ever.
 *
 * Votes have no keys: they commute, and what is executed is judged at the position, not against a base. A proposal takes the key
 * of the next number. All three stand alone in their transaction: what else it held would have been written before the definition
 * and be applied after it.
 *
 * State: dadbs_internal.proposal, proposal_vote and proposal_end, insert-only, written at positions; in a session only the
 * proposal's row, so that two of one member don't take the same number.
 */
#include "internal.h"

#include <vector>

#include "../apply/row_relation.h"
#include "../apply/work.h"
#include "../ddl/internal.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/keys.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/row_apply.h"
#include "dadbs/pg/sharing.h"
#include "proposal.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {
namespace contract {
namespace {

constexpr int64 kEpochUs = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

bool carrying_out = false;

// take(tuple, columns) of each row of one of our tables, by its first column; id 0: the last one only.
template <class F>
void Scan(const char* table, const char* index, int64 id, F&& take) {
  Relation const relation = table_open(InternalTable(table), AccessShareLock);
  Relation const by = index_open(InternalTable(index), AccessShareLock);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
  SysScanDesc const scan = systable_beginscan_ordered(relation, by, snapshot, id == 0 ? 0 : 1, &key);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext_ordered(scan, id == 0 ? BackwardScanDirection : ForwardScanDirection));) {
    take(tuple, RelationGetDescr(relation));
    if (id == 0) break;
  }
  systable_endscan_ordered(scan);
  UnregisterSnapshot(snapshot);
  index_close(by, AccessShareLock);
  table_close(relation, AccessShareLock);
}

Datum Column(HeapTuple tuple, int column, TupleDesc columns) {
  bool is_null;
  return heap_getattr(tuple, column, columns, &is_null);
}

char* TextColumn(HeapTuple tuple, int column, TupleDesc columns) {
  bool is_null;
  Datum const value = heap_getattr(tuple, column, columns, &is_null);
  return is_null ? pstrdup("") : TextDatumGetCString(value);
}

void FindProposal(int64 id, Proposal* out) {
  Scan("proposal", "proposal_pkey", id, [&](HeapTuple tuple, TupleDesc columns) {
    out->found = true;
    out->text = TextColumn(tuple, 2, columns);
    out->role = TextColumn(tuple, 4, columns);
    out->search_path = TextColumn(tuple, 5, columns);
    out->needed = DatumGetInt32(Column(tuple, 6, columns));
    out->expires = DatumGetInt64(Column(tuple, 7, columns));
    out->origin = DatumGetInt16(Column(tuple, 9, columns));
  });
}

[[noreturn]] void RaiseClosed(int64 id, const char* state) {
  ereport(ERROR, (errcode(kErrState), errmsg("proposal " INT64_FORMAT " is not open", id), errdetail("It is %s.", state)));
  pg_unreachable();
}

Datum NullableText(const char* text, bool* is_null) {
  *is_null = text == nullptr || text[0] == '\0';
  return *is_null ? static_cast<Datum>(0) : CStringGetTextDatum(text);
}

Datum TimeOf(const AtPosition& at) { return TimestampTzGetDatum(at.block_time_us - kEpochUs); }
char* UserOf(const AtPosition& at) { return pnstrdup(at.user.data(), at.user.size()); }

void InsertVote(int64 id, bool approves, const char* reason, const AtPosition& at) {
  Datum values[8] = {Int64GetDatum(id), Int16GetDatum(static_cast<int16>(at.id.origin.value)), BoolGetDatum(approves)};
  bool nulls[lengthof(values)] = {};
  values[3] = NullableText(reason, &nulls[3]);
  values[4] = CStringGetTextDatum(UserOf(at));
  values[5] = Int64GetDatum(static_cast<int64>(at.position.height.value));
  values[6] = Int32GetDatum(static_cast<int32>(at.position.index));
  values[7] = TimeOf(at);
  InsertInternalRow("proposal_vote", values, nulls);
  CommandCounterIncrement();
}

void InsertEnd(int64 id, const char* state, const char* sqlstate, const char* message, const AtPosition& at) {
  Datum values[7] = {Int64GetDatum(id), CStringGetTextDatum(state)};
  bool nulls[lengthof(values)] = {};
  values[2] = NullableText(sqlstate, &nulls[2]);
  values[3] = NullableText(message, &nulls[3]);
  values[4] = Int64GetDatum(static_cast<int64>(at.position.height.value));
  values[5] = Int32GetDatum(static_cast<int32>(at.position.index));
  values[6] = TimeOf(at);
  InsertInternalRow("proposal_end", values, nulls);
  CommandCounterIncrement();
}

char* CopyText(std::string_view s) { return pnstrdup(s.data(), s.size()); }

// ---- the three changes. True: there are votes enough now.

bool Propose(const core::ProposalChange& c, const AtPosition& at) {
  auto const id = static_cast<int64>(c.id);
  if (id != NextProposal())
    ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("proposal " INT64_FORMAT " does not have the next number", id)));
  InsertProposal(id, CopyText(c.text), CopyText(c.comment), CopyText(c.role), CopyText(c.search_path), c.lifetime, &at);
  InsertVote(id, true, nullptr, at);
  return shared->approvals <= 1;
}

bool Approve(int64 id, const AtPosition& at) {
  Proposal proposal = {};
  Votes votes = {};
  CheckOpen(id, static_cast<int16>(at.id.origin.value), at.position.height.value, false, &proposal, &votes);
  InsertVote(id, true, nullptr, at);
  return votes.approved + 1 >= proposal.needed;
}

void Reject(int64 id, const char* reason, int members, const AtPosition& at) {
  Proposal proposal = {};
  Votes votes = {};
  auto const origin = static_cast<int16>(at.id.origin.value);
  CheckOpen(id, origin, at.position.height.value, true, &proposal, &votes);
  if (origin == proposal.origin) return InsertEnd(id, "withdrawn", nullptr, reason, at);
  InsertVote(id, false, reason, at);
  if (members - (votes.rejected + 1) < proposal.needed) InsertEnd(id, "rejected", nullptr, reason, at);
}

// ---- executing what was approved

core::DdlChange Definition(const Proposal& p, const char* text) {
  core::DdlChange change;
  change.text = text;
  change.role = p.role;
  change.search_path = p.search_path;
  return change;
}

void Truncate(const Proposal& p, const char* text, core::KeyList* keys) {
  ddl::RelName** names = nullptr;
  bool restart = false;
  int const count = Call([&] { return TablesToTruncate(p, text, &names, &restart); });
  core::TruncateChange change;
  change.restart_identity = restart;
  for (int i = 0; i < count; i++) {
    change.relations.push_back({names[i]->schema, names[i]->name});
    keys->push_back({RelationDefinitionKey(names[i]->schema, names[i]->name), static_cast<uint8_t>(core::KeyUse::kReference)});
    keys->push_back({RelationContentKey(names[i]->schema, names[i]->name), static_cast<uint8_t>(core::KeyUse::kExistence)});
  }
  RowApplier rows;
  rows.Begin();
  rows.Apply(change);
  rows.End();
}

void ExecuteOne(const Proposal& p, const Step& step, const AtPosition& at, core::KeyList* keys) {
  switch (step.kind) {
    case Step::kDefinition: return ExecuteDdlAtPosition(Definition(p, step.text), at.position, keys);
    case Step::kTruncate: return Truncate(p, step.text, keys);
    case Step::kContract: {
      Deployment d = step.deployment;
      d.role = p.role;
      d.search_path = p.search_path;
      return ExecuteContractChange(ContractChangeOf(d), at, keys);
    }
    case Step::kLimit: return Call([&] { SetStatementLimit(step.limit, at); });
  }
}

void ExecuteAll(const Proposal& p, const AtPosition& at, core::KeyList* keys) {
  Step* steps = nullptr;
  int const count = Call([&] { return ReadSteps(p.text, &steps); });
  for (int i = 0; i < count; i++) ExecuteOne(p, steps[i], at, keys);
}

void CarryOut(int64 id, const AtPosition& at, core::KeyList* keys) {
  Proposal proposal = {};
  Call([&] { FindProposal(id, &proposal); });
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  Call([&] {
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
  });
  core::KeyList written;
  std::string sqlstate, message;
  try {
    carrying_out = true;
    ExecuteAll(proposal, at, &written);
    Call([] { ReleaseCurrentSubTransaction(); });
    carrying_out = false;
  } catch (const PgError& e) {
    carrying_out = false;
    if (IsOwnFailure(e) || IsHalt(e)) throw;
    Call([] { RollbackAndReleaseCurrentSubTransaction(); });
    ResetExpressions();
    ForgetCompiledInVain();
    sqlstate = Call([&] { return unpack_sql_state(e.sqlstate()); });
    message = e.message();
  }
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  bool const failed = !sqlstate.empty();
  if (!failed) keys->insert(keys->end(), written.begin(), written.end());
  Call([&] { InsertEnd(id, failed ? "failed" : "executed", sqlstate.c_str(), message.c_str(), at); });
}

}  // namespace

int64 NextProposal() {
  int64 last = 0;
  Scan("proposal", "proposal_pkey", 0, [&](HeapTuple tuple, TupleDesc columns) { last = DatumGetInt64(Column(tuple, 1, columns)); });
  return last + 1;
}

void InsertProposal(int64 id, const char* text, const char* comment, const char* role, const char* search_path, uint64 lifetime,
                    const AtPosition* at) {
  Datum values[12] = {Int64GetDatum(id), CStringGetTextDatum(text), CStringGetTextDatum(comment), CStringGetTextDatum(role),
                      CStringGetTextDatum(search_path), Int32GetDatum(static_cast<int32>(shared->approvals))};
  bool nulls[lengthof(values)] = {};
  for (int i = 6; i < 12; i++) nulls[i] = at == nullptr;
  if (at != nullptr) {
    uint64 const height = at->position.height.value;
    values[6] = Int64GetDatum(static_cast<int64>(Min(height + lifetime, static_cast<uint64>(PG_INT64_MAX))));
    values[7] = CStringGetTextDatum(UserOf(*at));
    values[8] = Int16GetDatum(static_cast<int16>(at->id.origin.value));
    values[9] = Int64GetDatum(static_cast<int64>(height));
    values[10] = Int32GetDatum(static_cast<int32>(at->position.index));
    values[11] = TimeOf(*at);
  }
  InsertInternalRow("proposal", values, nulls);
  CommandCounterIncrement();
}

void CheckOpen(int64 id, int16 member, uint64 height, bool rejects, Proposal* proposal, Votes* votes) {
  FindProposal(id, proposal);
  if (!proposal->found) ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("proposal " INT64_FORMAT " does not exist", id)));
  Scan("proposal_end", "proposal_end_pkey", id,
       [&](HeapTuple tuple, TupleDesc columns) { RaiseClosed(id, TextColumn(tuple, 2, columns)); });
  if (height > static_cast<uint64>(proposal->expires)) RaiseClosed(id, "expired");
  bool voted = false;
  Scan("proposal_vote", "proposal_vote_pkey", id, [&](HeapTuple tuple, TupleDesc columns) {
    (DatumGetBool(Column(tuple, 3, columns)) ? votes->approved : votes->rejected)++;
    voted |= DatumGetInt16(Column(tuple, 2, columns)) == member;
  });
  if (voted && !(rejects && member == proposal->origin))
    ereport(ERROR, (errcode(kErrState), errmsg("this member has voted about proposal " INT64_FORMAT " already", id)));
}

}  // namespace contract

bool CarryingOut() { return contract::carrying_out; }

void ExecuteProposalChange(const core::ProposalChange& change, const AtPosition& at, bool alone, core::KeyList* keys) {
  using namespace contract;
  carrying_out = false;
  if (!alone)
    throw PgError(ERRCODE_ACTIVE_SQL_TRANSACTION, "a proposal, or a vote about one, stands alone in its transaction", "",
                  "Run it as a statement of its own, outside a transaction block.");
  ProposalKeys(change, keys);
  const Member* const member = CurrentMember();
  auto const members = static_cast<int>(member != nullptr ? member->genesis.members.size() : 1);
  auto const id = static_cast<int64>(change.id);
  bool const due = Call([&] {
    if (change.op == 'P') return Propose(change, at);
    if (change.op == 'A') return Approve(id, at);
    Reject(id, CopyText(change.comment), members, at);
    return false;
  });
  if (due) CarryOut(id, at, keys);
}

void ProposalKeys(const core::ProposalChange& change, core::KeyList* keys) {
  if (change.op == 'P') keys->push_back({NameKey('o', "dadbs_internal", "proposal"), static_cast<uint8_t>(core::KeyUse::kExistence)});
}

}  // namespace dadbs::pg
