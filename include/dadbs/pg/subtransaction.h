/*
 * subtransaction.h: what may fail, in a subtransaction of its own.
 */
#pragma once

#include "dadbs/pg/boundary.h"

extern "C" {
#include "access/xact.h"
#include "utils/resowner.h"
}

namespace dadbs::pg {

// Runs `body`; false if it raised an error, whose effects are rolled back. Cancellation, and errors of `but`, are not for it to swallow.
template <class F>
bool Try(F&& body, int but = 0) {
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  auto const back = [&] {
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
  };
  Call([&] {
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
  });
  try {
    body();
  } catch (const PgError& e) {
    Call([&] {
      RollbackAndReleaseCurrentSubTransaction();
      back();
    });
    if (e.sqlstate() == but || e.sqlstate() == ERRCODE_QUERY_CANCELED || e.sqlstate() == ERRCODE_ADMIN_SHUTDOWN) throw;
    return false;
  }
  Call([&] {
    ReleaseCurrentSubTransaction();
    back();
  });
  return true;
}

}  // namespace dadbs::pg
