/*
 * version.h: which dadbs this library is.
 */
#pragma once

extern "C" {
#include "postgres.h"

#include "nodes/parsenodes.h"
}

namespace dadbs::pg {

extern const int kRulesVersion;       // of certification, apply and DDL: what decides verdicts. Members with different ones do not connect
extern const char kLibraryVersion[];  // as in dadbs.control

// By the apply worker as it starts: a line for the log where the extension's objects are of another version.
void TellVersions();
// ALTER EXTENSION dadbs UPDATE, in a session, before it is executed: objects that the library does not know are refused.
void CheckUpdate(AlterExtensionStmt* statement);

}  // namespace dadbs::pg
