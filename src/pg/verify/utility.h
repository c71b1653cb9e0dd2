/*
 * utility.h: statements of this member's alone.
 */
#pragma once

extern "C" {
#include "postgres.h"
#include "access/xact.h"
#include "nodes/makefuncs.h"
#include "nodes/plannodes.h"
#include "tcop/utility.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg::verify {

// Without the hooks: it is no statement of the session, and not of the group. Inside Call().
inline void RunUtility(Node* statement, const char* text) {
  PlannedStmt* const planned = makeNode(PlannedStmt);
  planned->commandType = CMD_UTILITY;
  planned->utilityStmt = statement;
  PushActiveSnapshot(GetLatestSnapshot());
  standard_ProcessUtility(planned, text, false, PROCESS_UTILITY_SUBCOMMAND, nullptr, nullptr, None_Receiver, nullptr);
  PopActiveSnapshot();
  CommandCounterIncrement();
}

}  // namespace dadbs::pg::verify
