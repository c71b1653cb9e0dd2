/*
 * ddl_execute_test.cpp: a test-only module that executes any text as if the chain had ordered it, on a single server without
 * a cluster: what a lying origin could send. The files of src/pg/ddl are linked into it, with stand-ins for the rest.
 *
 *   dadbs_internal.execute(text, role, search_path, settings text[] {name, value, ...}, superusers text[])
 *       runs it as member 2 of 4 in a subtransaction; "ok, N keys" or "SQLSTATE: message", and then nothing is left of it
 */
#include <optional>
#include <string>
#include <vector>

#include "dadbs/core/write_set.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(et_execute);
}

// ---- stand-ins

namespace dadbs::pg {

Shared* shared = nullptr;
bool guc_run_shared_code = true;
const Member* CurrentMember() { return nullptr; }
std::optional<MemberConfig> LoadMemberConfig() { return std::nullopt; }
void HoldLoneDdl(const core::DdlChange&) { throw PgError(ERRCODE_INTERNAL_ERROR, "the test's session orders nothing"); }
void EmitChange(const core::Change&) {}
uint64_t CountCatalogRows() { return 0; }
void NoteLocalDefinition() {}
void CheckContractTrigger(Oid, bool) {}
bool ContractsRunning() { return false; }
void CheckContractCall(Oid) {}
void ForgetCompiled() noexcept {}
void ForgetCreated(Oid) {}
void BeginGuard(Node*) {}
void EndGuard() noexcept {}
void GuardEarly(Node*) {}
void GuardObject(const ObjectAddress&, bool) {}
bool CarryingOut() { return false; }
void GuardTruncate(const char*) {}
void GuardTruncateEarly(Node*) {}
void RaiseProtected(const char* table) { elog(ERROR, "table \"%s\" is protected", table); }

}  // namespace dadbs::pg

namespace {

using namespace dadbs;

void Prepare() {
  if (pg::shared != nullptr) return;
  pg::shared = static_cast<pg::Shared*>(MemoryContextAllocZero(TopMemoryContext, sizeof(pg::Shared)));
  pg_atomic_init_u32(&pg::shared->database, MyDatabaseId);
  pg_atomic_init_u32(&pg::shared->configure_requests, 1);
  pg::shared->self_id = 2;
  pg::shared->sequence_stride = 4;
  pg::InitSharingHooks();
  pg::InitDdl();
}

std::string Text(Datum value) { return pg::Call([&] { return TextDatumGetCString(value); }); }

std::vector<std::string> Texts(Datum array) {
  Datum* values = nullptr;
  int count = 0;
  pg::Call([&] { deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, nullptr, &count); });
  std::vector<std::string> result;
  for (int i = 0; i < count; i++) result.push_back(Text(values[i]));
  return result;
}

std::string Execute(const core::DdlChange& change) {
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  pg::Call([&] {
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
  });
  std::string result;
  try {
    core::KeyList keys, named;
    pg::DdlKeys(change, &named);
    pg::ExecuteDdlAtPosition(change, {core::Height{1}, 0}, &keys);
    pg::Call([] { ReleaseCurrentSubTransaction(); });
    result = "ok, " + std::to_string(keys.size()) + " keys";
  } catch (const pg::PgError& e) {
    pg::Call([] { RollbackAndReleaseCurrentSubTransaction(); });
    result = std::string(unpack_sql_state(e.sqlstate())) + ": " + e.message();
  }
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  return result;
}

}  // namespace

extern "C" PGDLLEXPORT Datum et_execute(PG_FUNCTION_ARGS) {
  return pg::Enter([&]() -> Datum {
    pg::Call([] { Prepare(); });
    std::string const text = Text(PG_GETARG_DATUM(0)), role = Text(PG_GETARG_DATUM(1)), path = Text(PG_GETARG_DATUM(2));
    std::vector<std::string> const settings = Texts(PG_GETARG_DATUM(3)), superusers = Texts(PG_GETARG_DATUM(4));
    core::DdlChange change;
    change.text = text;
    change.role = role;
    change.search_path = path;
    for (size_t i = 0; i + 1 < settings.size(); i += 2) change.settings.emplace_back(settings[i], settings[i + 1]);
    for (const std::string& name : superusers) change.superusers.emplace_back(name);
    std::string const result = Execute(change);
    return pg::Call([&] { return CStringGetTextDatum(result.c_str()); });
  });
}
