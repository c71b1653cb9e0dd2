/*
 * evidence.cpp: verify_evidence: what evidence proves, by the genesis and the bytes alone.
 */
#include "dadbs/core/evidence.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/records.h"

extern "C" {
PG_FUNCTION_INFO_V1(dadbs_verify_evidence);
}

namespace dadbs::pg {
namespace {

void PutSlot(Row* row, const core::EvidenceSlot& slot, const core::Genesis& genesis) {
  const core::Member* const culprit = genesis.Find(slot.culprit);
  bool const is_of_batches = slot.kind == core::EvidenceKind::kBatches;
  row->Int16(static_cast<int16>(slot.culprit.value));
  culprit != nullptr ? row->Text(culprit->name) : row->Null();
  row->Text(core::NameOf(slot.kind)).Int64(static_cast<int64>(slot.incarnation));
  if (is_of_batches) {
    row->Null().Null().Null().Int64(static_cast<int64>(slot.number));
    return;
  }
  row->Text(slot.phase == static_cast<uint8_t>(core::Phase::kPrepare) ? "prepare" : "commit")
      .Int64(static_cast<int64>(slot.view.value))
      .Int64(static_cast<int64>(slot.height.value))
      .Null();
}

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_verify_evidence(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    const Member* const member = shared ? CurrentMember() : nullptr;
    if (member == nullptr)
      throw PgError(kErrNotConfigured, "this server is not a member of a cluster", "",
                    "Elsewhere the genesis is enough to check evidence: docs/chain-format.md, section 9b.");
    bytea* const given = Call([&] { return PG_GETARG_BYTEA_PP(0); });
    dadbs::core::Evidence evidence;
    Row row;
    if (!dadbs::core::Evidence::Decode(BytesArgument(given), &evidence))
      return row.Text("it cannot be read").Null().Null().Null().Null().Null().Null().Null().Null().Record(fcinfo);
    std::string const why = dadbs::core::CheckEvidence(evidence, member->genesis, dadbs::core::Ed25519Verifier());
    why.empty() ? row.Null() : row.Text(why);
    PutSlot(&row, dadbs::core::SlotOf(evidence), member->genesis);
    return row.Record(fcinfo);
  });
}
