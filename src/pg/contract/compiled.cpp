/*
 * compiled.cpp: what PL/pgSQL has compiled is compiled again after a definition.
 *
 * PL/pgSQL keeps a function compiled until its row in pg_proc changes, and with it what it then looked up: the type of a variable that
 * is declared as table.column%TYPE, or by a name that means another type now. A member that has restarted looks it up anew. No verdict
 * may depend on when that was. So all that is compiled becomes stale with each definition at a position: before it, for a definition
 * calls functions, too; after it; and when it is rolled back.
 *
 * We know of a function from its first run on (the hook of PL/pgSQL's plugin), or from its creation with a check of its body, which
 * compiles it. PL/pgSQL never frees the struct of a compiled function, so that pointers to it stay good.
 */
#include "internal.h"

#include <unordered_set>

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "fmgr.h"
#include "plpgsql.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace contract {
namespace {

std::unordered_set<PLpgSQL_function*> compiled;
bool defined = false;  // since the last rollback

bool IsCheckedPlpgsql(Oid function) {
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  // Triggers are compiled once more for each trigger.
  bool const result = check_function_bodies && form->prolang == get_language_oid("plpgsql", true) && form->prorettype != TRIGGEROID &&
                      form->prorettype != EVENT_TRIGGEROID;
  ReleaseSysCache(tuple);
  return result;
}

// What the extension keeps its books with names nothing that the group defines, and runs at each definition.
bool IsOurOwn(Oid function) { return get_func_namespace(function) == get_namespace_oid("dadbs_internal", true); }

}  // namespace

void NoteCompiled(PLpgSQL_function* function) {
  if (OidIsValid(function->fn_oid) && !IsOurOwn(function->fn_oid)) Enter([&] { compiled.insert(function); });
}

}  // namespace contract

void ForgetCompiled() noexcept {
  for (PLpgSQL_function* const function : contract::compiled) function->fn_xmin = InvalidTransactionId;
  contract::compiled.clear();
  contract::defined = true;
}

void ForgetCompiledInVain() noexcept {
  if (contract::defined) ForgetCompiled();
  contract::defined = false;
}

void ForgetCreated(Oid function) {
  if (!contract::IsCheckedPlpgsql(function)) return;
  using Compile = PLpgSQL_function*(FunctionCallInfo, bool);
  auto* const compile = reinterpret_cast<Compile*>(reinterpret_cast<void*>(load_external_function("$libdir/plpgsql", "plpgsql_compile", true, nullptr)));
  LOCAL_FCINFO(call, 0);
  FmgrInfo info = {};
  MemSet(call, 0, SizeForFunctionCallInfo(0));
  call->flinfo = &info;
  info.fn_oid = function;
  info.fn_mcxt = CurrentMemoryContext;
  compile(call, true)->fn_xmin = InvalidTransactionId;  // that it has made for the check
}

}  // namespace dadbs::pg
