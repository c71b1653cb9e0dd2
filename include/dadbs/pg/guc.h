/*
 * guc.h: the settings. Units are in the names or GUC flags; docs/configuration.md lists them.
 */
#pragma once

namespace dadbs::pg {

extern int guc_commit_timeout_ms;             // dadbs.commit_timeout: 0 waits without limit
extern bool guc_accept_snapshot_isolation;    // dadbs.accept_snapshot_isolation: SERIALIZABLE writes run as snapshot isolation
extern bool guc_allow_mixed_writes;           // dadbs.allow_mixed_writes: shared and local tables in one transaction
extern bool guc_run_shared_code;              // dadbs.run_shared_code: superusers run functions that came over the chain
extern bool guc_deploy_unchecked;             // dadbs.deploy_unchecked: contracts without analysis
extern int guc_max_write_set_mb;              // dadbs.max_write_set_size
extern int guc_batch_delay_us;                // dadbs.batch_delay
extern int guc_journal_segment_mb;            // dadbs.journal_segment_size
extern int guc_journal_segments_kept;         // dadbs.journal_segments_kept
extern int guc_apply_lag_blocks_max;          // dadbs.max_apply_lag: blocks
extern int guc_view_change_timeout_ms;        // dadbs.view_change_timeout: how long a primary may let the chain stand still
extern int guc_start_read_timeout_ms;         // dadbs.start_read_timeout: how long reads wait for the replay at start
extern int guc_serve_rate_kb;                 // dadbs.serve_rate: per second, of old blocks for others; 0 is without limit
extern char* guc_key_file;                    // dadbs.key_file: "" is $PGDATA/dadbs/node.key
extern char* guc_journal_directory;           // dadbs.journal_directory: "" is $PGDATA/dadbs/journal
extern char* guc_listen_addresses;            // dadbs.listen_addresses: "" is the host of the own address

void DefineGucs();

}  // namespace dadbs::pg
