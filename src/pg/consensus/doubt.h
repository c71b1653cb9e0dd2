/*
 * doubt.h: what the files of this server say against its journal: signs that they are not those that it signed from.
 *
 * A journal that is a copy of an older one looks sound. Other members find that out (core/replica_memory); these signs
 * need nobody: the server's timeline or system identifier is not the one that the journal was written under (a standby
 * was promoted, the data directory is another one), the server was started from a base backup (backup_label, looked for
 * before recovery renames it), or its owner says so by making the file "rejoin" in $PGDATA/dadbs. A sign lasts until the
 * journal itself says that the member learns.
 */
#pragma once

namespace dadbs::pg {

// In the postmaster, before recovery.
void NoteBackupLabel();

// Null: nothing speaks against it. Else why.
const char* FindDoubt();

// What was found is in the journal, durably; or there was nothing.
void SettleDoubt();

}  // namespace dadbs::pg
