/*
 * guc.cpp: definition of the settings of guc.h.
 */
#include "dadbs/pg/guc.h"

#include <climits>

extern "C" {
#include "postgres.h"
#include "miscadmin.h"
#include "utils/guc.h"
}

namespace dadbs::pg {

int guc_commit_timeout_ms = 0;
bool guc_accept_snapshot_isolation = false;
bool guc_allow_mixed_writes = false;
bool guc_run_shared_code = false;
bool guc_deploy_unchecked = false;
int guc_max_write_set_mb = 256;
int guc_batch_delay_us = 0;
int guc_journal_segment_mb = 64;
int guc_journal_segments_kept = 4;
int guc_apply_lag_blocks_max = 1024;
int guc_start_read_timeout_ms = 60'000;
int guc_view_change_timeout_ms = 1'000;
int guc_serve_rate_kb = 65'536;
char* guc_key_file = nullptr;
char* guc_journal_directory = nullptr;
char* guc_listen_addresses = nullptr;

namespace {

// Where the library is not preloaded, such settings cannot be defined any more: FATAL. They keep their defaults.
bool TooLateFor(GucContext context) {
  return context == PGC_POSTMASTER && !process_shared_preload_libraries_in_progress;
}

void DefineInt(const char* name, const char* what, const char* more, int* variable, int boot, int low, int high,
               GucContext context, int flags = 0) {
  if (TooLateFor(context)) return;
  DefineCustomIntVariable(name, what, more, variable, boot, low, high, context, flags, nullptr, nullptr, nullptr);
}

void DefineBool(const char* name, const char* what, const char* more, bool* variable, GucContext context) {
  DefineCustomBoolVariable(name, what, more, variable, false, context, 0, nullptr, nullptr, nullptr);
}

void DefineString(const char* name, const char* what, const char* more, char** variable) {
  if (TooLateFor(PGC_POSTMASTER)) return;
  DefineCustomStringVariable(name, what, more, variable, "", PGC_POSTMASTER, GUC_SUPERUSER_ONLY, nullptr, nullptr, nullptr);
}

}  // namespace

void DefineGucs() {
  DefineInt("dadbs.commit_timeout", "How long a COMMIT of shared changes may wait for the cluster.",
            "Before the transaction is handed over it is rolled back; after that the client gets 40003 with the "
            "transaction's id. 0 waits without limit.",
            &guc_commit_timeout_ms, 0, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS);
  DefineBool("dadbs.accept_snapshot_isolation", "Lets SERIALIZABLE transactions write shared tables as snapshot isolation.",
             "Write skew between members is then possible.", &guc_accept_snapshot_isolation, PGC_USERSET);
  DefineBool("dadbs.allow_mixed_writes", "Lets one transaction write shared and local tables.",
             "When this member crashes, or the transaction must let go of its locks, only the shared half is certain.",
             &guc_allow_mixed_writes, PGC_USERSET);
  DefineBool("dadbs.run_shared_code", "Lets superusers' sessions run functions that came over the chain.",
             "Such code was written by another member; it would run with a superuser's rights.", &guc_run_shared_code,
             PGC_SUSET);
  DefineBool("dadbs.deploy_unchecked", "Lets superusers deploy contracts that the analysis refuses, and order what needs approval.",
             "All members refuse it at its position, or when it runs.", &guc_deploy_unchecked, PGC_SUSET);
  DefineInt("dadbs.max_write_set_size", "Largest transaction that can be shared.", nullptr, &guc_max_write_set_mb, 256, 1, 512,
            PGC_SIGHUP, GUC_UNIT_MB);
  DefineInt("dadbs.batch_delay", "How long the consensus worker gathers transactions into a batch (microseconds).",
            "0 sends at once when nothing is in flight.", &guc_batch_delay_us, 0, 0, 1'000'000, PGC_SIGHUP);
  DefineInt("dadbs.journal_segment_size", "Size of a journal segment file.", nullptr, &guc_journal_segment_mb, 64, 1, 1024,
            PGC_POSTMASTER, GUC_UNIT_MB);
  DefineInt("dadbs.journal_segments_kept", "Journal segments kept for members that catch up.", nullptr,
            &guc_journal_segments_kept, 4, 2, 1024, PGC_POSTMASTER);
  DefineInt("dadbs.max_apply_lag", "How many blocks apply may be behind before this member refuses writes.", nullptr,
            &guc_apply_lag_blocks_max, 1024, 16, 16'384, PGC_SIGHUP);
  DefineInt("dadbs.start_read_timeout", "How long a read waits after a start until the journal has been replayed.", nullptr,
            &guc_start_read_timeout_ms, 60'000, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS);
  DefineInt("dadbs.view_change_timeout", "How long the primary may let the chain stand still before this member asks for another.",
            "A quarter of it where the primary is not connected. It doubles, up to 8 times this, while no block comes.",
            &guc_view_change_timeout_ms, 1'000, 100, 3'600'000, PGC_SIGHUP, GUC_UNIT_MS);
  DefineInt("dadbs.serve_rate", "How much per second this member reads for members that catch up.", "0 is without limit.",
            &guc_serve_rate_kb, 65'536, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB);
  DefineString("dadbs.key_file", "File with this node's Ed25519 key.", "Empty: dadbs/node.key in the data directory.",
               &guc_key_file);
  DefineString("dadbs.journal_directory", "Directory of the journal.", "Empty: dadbs/journal in the data directory.",
               &guc_journal_directory);
  DefineString("dadbs.listen_addresses", "Address that the peer port listens on.",
               "Empty: the host of this node's own address in the cluster; * for all.", &guc_listen_addresses);
  MarkGUCPrefixReserved("dadbs");
}

}  // namespace dadbs::pg
