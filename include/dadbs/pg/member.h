/*
 * member.h: what this server knows of itself as a member: key, configuration, genesis. Files in $PGDATA/dadbs (0700):
 *
 *   node.key     32 secret bytes, the Ed25519 seed (0600); made on first use; dadbs.key_file names another place
 *   member.conf  "name = value" lines: the shared database, own name and address, and while joining the founder
 *   genesis      Genesis::Encode; its hash is the chain id. member.conf with a genesis: a member; without: it joins
 *   xids         see xids.h
 *   journal/     or dadbs.journal_directory
 *
 * Each file is replaced atomically (temporary name, fsync, rename, fsync of the directory). create_cluster and
 * join_cluster stage the files in their transaction and put them in place as it commits; then configure_requests is
 * bumped. Whoever caches what it parsed compares that counter. The postmaster publishes database, self_id, chain_id and
 * sequence_stride in shared memory before the first backend starts, so that no write can slip past the sharing.
 */
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dadbs/core/chain.h"

extern "C" {
#include "postgres.h"
}

namespace dadbs::pg {

using Environment = std::vector<std::pair<std::string, std::string>>;

// Of the shared database; together with this build they give the environment that all members must have alike.
struct DatabaseFacts {
  std::string encoding, provider, collate, ctype, icu_locale;
};

struct MemberConfig {
  Oid database = InvalidOid;
  std::string database_name;
  std::string name, address;  // own; empty address: a cluster of one that does not listen
  DatabaseFacts facts;
  std::optional<core::Member> founder;        // while joining
  uint32 approvals = 0;                       // while joining: expected of the genesis; 0: a quorum
  std::vector<std::string> occupied_schemas;  // while joining: hold objects of the user's, so they cannot be shared
};

struct Member {
  MemberConfig config;
  core::Bytes genesis_bytes;
  core::Genesis genesis;
  core::NodeId self;
};

// ---- paths
std::string MemberDirectory();  // $PGDATA/dadbs
std::string JournalDirectory();
std::string KeyFile();

// ---- files. All throw PgError that names the file.
core::Bytes LoadOrCreateSeed();                  // 32 bytes
std::optional<MemberConfig> LoadMemberConfig();  // none: no cluster was created or joined here
std::optional<Member> LoadMember();              // none: unconfigured, or still joining
std::optional<core::Bytes> ReadMemberFile(const std::string& path);  // none: it does not exist
void WriteFileDurably(const std::string& path, core::ByteView bytes, int mode);
void StoreGenesis(core::ByteView genesis);  // ends a join
// For create_cluster (with a genesis) and join_cluster (without): written now, put in place, or removed, as the
// transaction ends. Place returns false, with errno, where a rename failed.
void StageMember(const MemberConfig& config, core::ByteView genesis);
bool PlaceStagedMember() noexcept;
void RemoveStagedMember() noexcept;
// A file of an earlier membership that stands in the way of a new one; empty: none.
std::string LeftoverOfOlderCluster();
// DROP EXTENSION: member.conf becomes member.conf.dropped; all other files stay.
std::string RetiredConfigFile();
bool RetireMemberConfig() noexcept;

// ---- for backends and workers: parsed once per configuration, null while unconfigured or joining. The pointer is
// valid until the next call after a configuration change. Throws PgError.
const Member* CurrentMember();
// "m2" of a node id; "node 7" where unknown.
std::string NodeName(core::NodeId id);

// Server major version, encoding, collations and their versions, block size, ... : equal on all members.
Environment ComputeEnvironment(const MemberConfig& config);
// Empty where equal, else "collation is C.UTF-8 here and en_US.UTF-8 there; ...".
std::string DescribeDifference(const Environment& here, const Environment& there);

// ---- names. A node line is "name@host:port/ed25519:BASE64"; without the key: "name@host:port".
std::string FormatNodeLine(const core::Member& member);
core::Member ParseNodeLine(std::string_view line, bool want_key);                  // throws PgError
std::string FormatKey(const core::PublicKey& key);                                 // "ed25519:BASE64"
void SplitAddress(const std::string& address, std::string* host, uint16_t* port);  // checked before: throws PgError

// From shmem_startup_hook, and by the launcher when the configuration changes. FATAL in the postmaster where a file is
// there but damaged: a server must not run its shared database as if it were not shared.
void PublishMember();
// The same from memory, plain data: at the commit of create_cluster nothing may throw. Bumps configure_requests.
struct Identity {
  Oid database = InvalidOid;  // invalid: not (yet) a member
  Oid joining = InvalidOid;   // the database of a server that has called join_cluster
  uint16 self = 0;
  uint8 chain_id[32] = {};
  uint32 sequence_stride = 1;
  uint32 approvals = 1;
};
Identity IdentityOf(const Member& member);
void PublishIdentity(const Identity& identity) noexcept;

// Notices DROP EXTENSION dadbs in the shared database; from _PG_init.
void InitClusterHooks();

}  // namespace dadbs::pg
