/*
 * context.cpp: what a contract may know of the transaction that it runs for: the same on every member.
 */
#include <string>

#include "internal.h"

#include "dadbs/core/chain.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/records.h"

extern "C" {
#include "fmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dadbs_block_time);
PG_FUNCTION_INFO_V1(dadbs_block_height);
PG_FUNCTION_INFO_V1(dadbs_contract_transaction_id);
PG_FUNCTION_INFO_V1(dadbs_origin_node);
PG_FUNCTION_INFO_V1(dadbs_session_user_name);
PG_FUNCTION_INFO_V1(dadbs_caller_key);
}

namespace dadbs::pg {
namespace {

const AtPosition& Position() {
  const AtPosition* const at = contract::running.at;
  if (at == nullptr) throw PgError(kErrState, "only contracts can ask for their transaction", "", "It has no position yet.");
  return *at;
}

Datum TextOf(const std::string& text) {
  return Call([&] { return PointerGetDatum(MakeText(text)); });
}

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_block_time(PG_FUNCTION_ARGS) {
  return Enter([]() -> Datum { return TimestampTzGetDatum(Position().block_time_us - kPostgresEpochUs); });
}

extern "C" Datum dadbs_block_height(PG_FUNCTION_ARGS) {
  return Enter([]() -> Datum { return Int64GetDatum(static_cast<int64>(Position().position.height.value)); });
}

extern "C" Datum dadbs_contract_transaction_id(PG_FUNCTION_ARGS) {
  return Enter([]() -> Datum { return TextOf(dadbs::core::ToString(Position().id)); });
}

extern "C" Datum dadbs_origin_node(PG_FUNCTION_ARGS) {
  return Enter([]() -> Datum { return TextOf(NodeName(Position().id.origin)); });
}

extern "C" Datum dadbs_session_user_name(PG_FUNCTION_ARGS) {
  return Enter([]() -> Datum { return TextOf(std::string(Position().user)); });
}

extern "C" Datum dadbs_caller_key(PG_FUNCTION_ARGS) {
  const dadbs::core::PublicKey* key = nullptr;
  Enter([&] {
    (void)Position();
    key = contract::running.caller;
  });
  if (key == nullptr) PG_RETURN_NULL();
  PG_RETURN_BYTEA_P(MakeBytea(key->view()));
}
