/*
 * evidence.cpp: evidence of guilt at its position: judged by every member alike, kept for ever.
 *
 * Whoever submits it decides nothing: it is `invalid` unless it proves itself by the accused one's signatures and the genesis.
 * Of one slot the first one is kept, of one member kEvidencePerCulpritMax; what comes after is `rejected`. The table is written
 * by the apply worker alone, in the local transaction of the position.
 */
#include "dadbs/core/evidence.h"

#include "applier.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/row_apply.h"

extern "C" {
#include "access/genam.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/xact.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {
namespace {

// Columns of dadbs_internal.evidence, in front of where it stands and what it is: its primary key.
constexpr int kSlotColumns = 7;

void SlotColumns(const core::EvidenceSlot& slot, Datum* values) {
  values[0] = Int16GetDatum(static_cast<int16>(slot.culprit.value));
  values[1] = Int16GetDatum(static_cast<int16>(slot.kind));
  values[2] = Int64GetDatum(static_cast<int64>(slot.incarnation));
  values[3] = Int16GetDatum(static_cast<int16>(slot.phase));
  values[4] = Int64GetDatum(static_cast<int64>(slot.view.value));
  values[5] = Int64GetDatum(static_cast<int64>(slot.height.value));
  values[6] = Int64GetDatum(static_cast<int64>(slot.number));
}

struct Known {
  size_t of_culprit = 0;
  bool is_same_slot = false;
};

// What stands in the table of this member.
Known Look(const core::EvidenceSlot& slot) {
  Datum wanted[kSlotColumns];
  SlotColumns(slot, wanted);
  Known known;
  Relation const relation = table_open(InternalTable("evidence"), AccessShareLock);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT2EQ, wanted[0]);
  SysScanDesc const scan = systable_beginscan(relation, InternalTable("evidence_pkey"), true, snapshot, 1, &key);
  for (HeapTuple row; HeapTupleIsValid(row = systable_getnext(scan));) {
    known.of_culprit++;
    bool is_same = true;
    for (int i = 0; i < kSlotColumns && is_same; i++) {
      bool is_null;
      is_same = heap_getattr(row, i + 1, RelationGetDescr(relation), &is_null) == wanted[i];
    }
    known.is_same_slot = known.is_same_slot || is_same;
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(relation, AccessShareLock);
  return known;
}

void Keep(const core::EvidenceSlot& slot, core::ByteView bytes, const AtPosition& at) {
  Datum values[kSlotColumns + 4];
  bool nulls[lengthof(values)] = {};
  SlotColumns(slot, values);
  values[kSlotColumns] = Int64GetDatum(static_cast<int64>(at.position.height.value));
  values[kSlotColumns + 1] = Int32GetDatum(static_cast<int32>(at.position.index));
  values[kSlotColumns + 2] = Int16GetDatum(static_cast<int16>(at.id.origin.value));
  values[kSlotColumns + 3] = PointerGetDatum(MakeBytea(bytes));
  InsertInternalRow("evidence", values, nulls);
  CommandCounterIncrement();
}

}  // namespace

void ExecuteEvidence(const core::EvidenceChange& change, const AtPosition& at) {
  const Member* const member = CurrentMember();
  DADBS_CHECK(member != nullptr);
  core::Evidence evidence;
  if (!core::Evidence::Decode(change.evidence, &evidence)) throw InvalidWriteSet(kErrInvalidWriteSet, "the evidence cannot be read");
  if (std::string const why = core::CheckEvidence(evidence, member->genesis, core::Ed25519Verifier()); !why.empty())
    throw InvalidWriteSet(kErrInvalidWriteSet, "the evidence proves nothing: " + why);
  core::EvidenceSlot const slot = core::SlotOf(evidence);
  Known const known = Call([&] { return Look(slot); });
  if (known.is_same_slot) throw PgError(ERRCODE_UNIQUE_VIOLATION, "evidence of the same is kept already");
  if (known.of_culprit >= core::kEvidencePerCulpritMax)
    throw PgError(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "there is enough evidence against \"" + NodeName(slot.culprit) + "\"");
  Call([&] { Keep(slot, change.evidence, at); });
}

}  // namespace dadbs::pg
