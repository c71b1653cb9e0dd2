/*
 * boundary.h: the only place where C++ exceptions and Postgres's longjmp meet. (After pg_duckdb; style.md rule 1.)
 *
 * In:  every function that Postgres calls is extern "C" and its body is `return Enter([&]() -> Datum { ... });`
 *      What was thrown is copied into a plain struct, the catch is left, then ereport raises it.
 * Out: C++ code with live destructors calls Postgres only through `Call([&] { ... })`: an ereport(ERROR) inside becomes
 *      a PgError exception that keeps SQLSTATE, message, detail, hint and context. The lambda must hold no C++ object
 *      with a destructor of its own (it may refer to the caller's).
 * Never throw inside PG_TRY. A raw ereport(ERROR) is right only where no C++ object with a destructor is alive.
 */
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "dadbs/core/check.h"  // DADBS_CHECK: leaves through Enter as an internal error

extern "C" {
#include "postgres.h"
#include "miscadmin.h"
#include "utils/elog.h"
#include "utils/memutils.h"
}

namespace dadbs::pg {

// An error with a SQLSTATE, thrown by C++ code or caught from Postgres.
class PgError : public std::exception {
 public:
  PgError(int sqlstate, std::string message, std::string detail = "", std::string hint = "")
      : sqlstate_(sqlstate), message_(std::move(message)), detail_(std::move(detail)), hint_(std::move(hint)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  int sqlstate() const { return sqlstate_; }
  const std::string& message() const { return message_; }
  const std::string& detail() const { return detail_; }
  const std::string& hint() const { return hint_; }
  std::string context, schema, table, column, constraint;
  std::string function;  // of Postgres that raised it, "exec_stmt_raise" for PL/pgSQL's RAISE
  std::string file;      // of Postgres's source that raised it: "fd.c"

 private:
  int sqlstate_;
  std::string message_, detail_, hint_;
};

namespace boundary_internal {

// Plain data, palloc'd in ErrorContext-independent storage: survives leaving the catch block.
struct Plain {
  bool raised = false;
  int sqlstate = 0;
  char message[1024], detail[1024], hint[512];
  void Set(int state, const char* m, const char* d, const char* h) {
    raised = true;
    sqlstate = state;
    strlcpy(message, m, sizeof(message));
    strlcpy(detail, d, sizeof(detail));
    strlcpy(hint, h, sizeof(hint));
  }
};

[[noreturn]] inline void Raise(const Plain& p) {
  ereport(ERROR, (errcode(p.sqlstate), errmsg("%s", p.message), p.detail[0] ? errdetail("%s", p.detail) : 0,
                  p.hint[0] ? errhint("%s", p.hint) : 0));
  pg_unreachable();
}

template <class F>
void Guard(Plain* plain, F&& body) noexcept {
  try {
    body();
  } catch (const PgError& e) {
    plain->Set(e.sqlstate(), e.what(), e.detail().c_str(), e.hint().c_str());
  } catch (const std::bad_alloc&) {
    plain->Set(ERRCODE_OUT_OF_MEMORY, "out of memory", "", "");
  } catch (const std::exception& e) {
    plain->Set(ERRCODE_INTERNAL_ERROR, e.what(), "", "");
  } catch (...) {
    plain->Set(ERRCODE_INTERNAL_ERROR, "unknown C++ exception", "", "");
  }
}

}  // namespace boundary_internal

template <class F>
auto Enter(F&& body) -> std::invoke_result_t<F> {
  using R = std::invoke_result_t<F>;
  boundary_internal::Plain plain;
  if constexpr (std::is_void_v<R>) {
    boundary_internal::Guard(&plain, body);
    if (plain.raised) boundary_internal::Raise(plain);
  } else {
    static_assert(std::is_trivially_destructible_v<R>);
    R result{};
    boundary_internal::Guard(&plain, [&] { result = body(); });
    if (plain.raised) boundary_internal::Raise(plain);
    return result;
  }
}

template <class F>
auto Call(F&& body) -> std::invoke_result_t<F> {
  using R = std::invoke_result_t<F>;
  static_assert(std::is_void_v<R> || std::is_trivially_destructible_v<R>);
  MemoryContext const context = CurrentMemoryContext;
  // Also where a PgError of a nested Call passes through: the stack must never point at a frame that is gone.
  struct Restore {
    sigjmp_buf* const stack = PG_exception_stack;
    ErrorContextCallback* const callbacks = error_context_stack;
    void Now() const {
      PG_exception_stack = stack;
      error_context_stack = callbacks;
    }
    ~Restore() { Now(); }
  } const restore;
  sigjmp_buf here;
  if (sigsetjmp(here, 0) == 0) {
    PG_exception_stack = &here;
    return body();
  }
  restore.Now();
  MemoryContextSwitchTo(context);
  ErrorData* const edata = CopyErrorData();
  FlushErrorState();
  PgError error(edata->sqlerrcode, edata->message ? edata->message : "", edata->detail ? edata->detail : "",
                edata->hint ? edata->hint : "");
  if (edata->context) error.context = edata->context;
  if (edata->schema_name) error.schema = edata->schema_name;
  if (edata->table_name) error.table = edata->table_name;
  if (edata->column_name) error.column = edata->column_name;
  if (edata->constraint_name) error.constraint = edata->constraint_name;
  if (edata->funcname) error.function = edata->funcname;
  if (edata->filename) error.file = edata->filename;
  FreeErrorData(edata);
  throw error;
}

}  // namespace dadbs::pg
