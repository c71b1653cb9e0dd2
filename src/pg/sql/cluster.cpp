/*
 * cluster.cpp: making a server a member: node_key, describe_node, create_cluster, join_cluster, wait_for_ready.
 *
 * The founder's owner gathers one line from each of the others (dadbs.describe_node: name, address, public key; no
 * secret), calls create_cluster with them, and gives its own line to the others, who call join_cluster; in either
 * order. The genesis block made here names all members, so nobody who was not invited can take part, and a joiner takes
 * it only from who holds the founder's key.
 *
 * Both functions only check, and write files under temporary names; the files are put in place as the transaction
 * commits (CommitMember, throw-free), when it is also published in shared memory which database is shared, while the
 * locks on its tables are still held. The launcher starts the workers then. A crash in between leaves nothing, or a
 * complete member. A failing rename is a WARNING: the call can be repeated.
 *
 * DROP EXTENSION in the shared database ends the membership: as its transaction commits member.conf is renamed to
 * member.conf.dropped and the launcher stops the workers. User tables stay, as ordinary tables; key, genesis and
 * journal stay as files. The history was in the extension's tables and is gone, so this server cannot take up its place
 * in the chain again: create_cluster and join_cluster refuse until the directory "dadbs" has been moved away, key
 * included (a key that votes again without its memory could vote twice).
 */
#include <algorithm>
#include <set>

#include "cluster_database.h"
#include "dadbs/core/crypto.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/settings.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dadbs_check_server);
PG_FUNCTION_INFO_V1(dadbs_node_key);
PG_FUNCTION_INFO_V1(dadbs_describe_node);
PG_FUNCTION_INFO_V1(dadbs_create_cluster);
PG_FUNCTION_INFO_V1(dadbs_join_cluster);
PG_FUNCTION_INFO_V1(dadbs_set_isolated);
PG_FUNCTION_INFO_V1(dadbs_set_deaf);
}

namespace dadbs::pg {
namespace {

constexpr size_t kSchemasMax = 1000;
constexpr const char* kLoneNodeName = "node1";

// ---- what the transaction leaves for its end

struct Pending {
  bool place = false;   // files are staged
  bool retire = false;  // the extension was dropped
  Identity identity;
};
Pending pending;
object_access_hook_type previous_object_access = nullptr;

// At the commit: no throw, no ERROR.
void CommitMember() {
  bool const placed = pending.retire ? RetireMemberConfig() : PlaceStagedMember();
  if (!placed) {
    int const saved = errno;
    ereport(WARNING, (errcode(ERRCODE_IO_ERROR),
                      errmsg("could not put the files in directory \"dadbs\" in place: %s", strerror(saved)),
                      pending.retire ? errhint("Remove the file \"member.conf\" there and restart the server.")
                                     : errhint("Repeat the call.")));
  }
  if (placed || pending.retire) {
    MemberState const state = pending.retire                            ? MemberState::kUnconfigured
                              : pending.identity.database == InvalidOid ? MemberState::kJoining
                                                                        : MemberState::kStarting;
    SetMemberState(state, "the launcher has not looked yet");
    pg_atomic_write_u32(&shared->join_refused, 0);
    PublishIdentity(pending.identity);
  }
  WakeWorker(&shared->launcher);
}

void OnTransactionEvent(XactEvent event, void*) {
  if (!pending.place && !pending.retire) return;
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:  // the drop may have been rolled back with its subtransaction
      if (pending.retire) pending.retire = !OidIsValid(get_extension_oid("dadbs", true));
      break;
    case XACT_EVENT_COMMIT:
      CommitMember();
      pending = Pending{};
      break;
    case XACT_EVENT_ABORT:
      if (pending.place) RemoveStagedMember();
      pending = Pending{};
      break;
    default:
      break;
  }
}

void OnObjectAccess(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void* arg) {
  if (previous_object_access) previous_object_access(access, class_id, object_id, sub_id, arg);
  if (access != OAT_DROP || class_id != ExtensionRelationId || object_id != get_extension_oid("dadbs", true)) return;
  bool const mine = Enter([] {
    std::optional<MemberConfig> const config = LoadMemberConfig();
    return config && config->database == MyDatabaseId;
  });
  if (!mine) return;
  pending.retire = true;
  ereport(NOTICE,
          (errmsg("this server will no longer be a member of its cluster"),
           errdetail("Tables and their data stay; the history goes with the extension. The journal, the genesis "
                     "and the key stay in the directory \"dadbs\" of the data directory.")));
}

void StagePending(const MemberConfig& config, core::ByteView genesis, const Identity& identity) {
  StageMember(config, genesis);
  pending.place = true;
  pending.identity = identity;
}

// ---- arguments

std::string TextArgument(FunctionCallInfo fcinfo, int i) {
  if (PG_ARGISNULL(i)) return "";
  return Call([&] { return text_to_cstring(PG_GETARG_TEXT_PP(i)); });
}

std::vector<std::string> ArrayArgument(FunctionCallInfo fcinfo, int i, const char* name) {
  std::vector<std::string> values;
  if (PG_ARGISNULL(i)) return values;
  Datum* elements = nullptr;
  bool* nulls = nullptr;
  int count = 0;
  Call([&] {
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
  });
  for (int k = 0; k < count; k++) {
    if (nulls[k])
      throw PgError(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string("argument \"") + name + "\" must not contain nulls");
    values.emplace_back(Call([&] { return TextDatumGetCString(elements[k]); }));
  }
  return values;
}

Datum TextResult(const std::string& s) {
  return Call([&] { return PointerGetDatum(MakeText(s)); });
}

void Notice(const std::string& message, const std::string& hint = "") {
  const char *const m = message.c_str(), *const h = hint.c_str();
  Call([&] { ereport(NOTICE, (errmsg("%s", m), h[0] != '\0' ? errhint("%s", h) : 0)); });
}

core::PublicKey OwnKey() { return core::MakeEd25519Signer(LoadOrCreateSeed())->public_key(); }

void RequirePreloaded() {
  if (shared == nullptr) RequireSettings();
}

// ---- checks before a server becomes a member

void RequireNoMembership() {
  if (std::optional<Member> const member = LoadMember())
    throw PgError(kErrState, "this server is already a member of a cluster, as \"" + member->config.name + "\"",
                  "Its shared database is \"" + member->config.database_name + "\".",
                  "One database of a server can be shared.");
  std::string const leftover = LeftoverOfOlderCluster();
  if (leftover.empty() || LoadMemberConfig()) return;
  throw PgError(kErrState, "this server was a member of a cluster before",
                "\"" + leftover + "\" is what it left; a node cannot enter a second time under the same key.",
                "To start anew, move the directory \"" + MemberDirectory() + "\" away, key included.");
}

void RequireCanBecomeMember(const char* function) {
  RequireSettings();
  if (RecoveryInProgress())
    throw PgError(ERRCODE_READ_ONLY_SQL_TRANSACTION,
                  std::string(function) + " cannot run while this server is in recovery");
  Call([&] { PreventInTransactionBlock(true, function); });
  if (GetTopTransactionIdIfAny() != InvalidTransactionId)
    throw PgError(ERRCODE_ACTIVE_SQL_TRANSACTION,
                  std::string(function) + " cannot run in a transaction that has written");
  RequireNoMembership();
}

void WarnOfFsync() {
  if (!enableFsync)
    Call([] {
      ereport(WARNING, (errmsg("fsync is off"),
                        errdetail("After a crash of this machine its tables may be damaged, and this member may break "
                                  "promises that it gave to the others.")));
    });
}

// With several members there is no way yet to bring what one of them already holds to the others.
void RequireEmpty(const std::vector<std::string>& occupied) {
  if (occupied.empty()) return;
  std::string names;
  for (const std::string& name : occupied) names += (names.empty() ? "\"" : ", \"") + name + "\"";
  throw PgError(kErrState, "a cluster of several members must begin without shared objects",
                "There are objects of yours, or schemas of your own, here: " + names + ".",
                "Load them through the cluster once it is ready, or limit sharing to other schemas (schemas => ...).");
}

void CheckSchemas(const std::vector<std::string>& schemas) {
  if (schemas.size() > kSchemasMax) throw PgError(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "too many schemas");
  std::set<std::string> seen;
  for (const std::string& name : schemas) {
    if (name.empty() || name.size() >= NAMEDATALEN)
      throw PgError(ERRCODE_INVALID_NAME, "\"" + name + "\" is not the name of a schema");
    if (name.starts_with("pg_") || name == "information_schema" || name == "dadbs" || name == "dadbs_internal" || name == "dadbs_kept")
      throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "schema \"" + name + "\" cannot be shared");
    if (!seen.insert(name).second) throw PgError(ERRCODE_DUPLICATE_OBJECT, "schema \"" + name + "\" is named twice");
  }
}

// ---- create_cluster

// The own description: its key may be there, and then must be this node's.
core::Member ParseOwnLine(const std::string& line) {
  core::Member self;
  if (line.empty())
    self.name = kLoneNodeName;
  else
    self = ParseNodeLine(line, false);
  core::PublicKey const key = OwnKey();
  if (!self.key.is_zero() && self.key != key)
    throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "the key in \"" + line + "\" is not this node's",
                  "This node's key is " + FormatKey(key) + ".");
  self.key = key;
  return self;
}

std::vector<core::Member> MakeMembers(const core::Member& self, const std::vector<std::string>& lines) {
  std::vector<core::Member> members{self};
  for (const std::string& line : lines) {
    core::Member member = ParseNodeLine(line, true);
    if (member.key == self.key && member.name == self.name && member.address == self.address) continue;
    members.push_back(std::move(member));
  }
  if (members.size() > kNodesShownMax)
    throw PgError(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                  "a cluster has at most " + std::to_string(kNodesShownMax) + " members");
  if (members.size() > 1 && self.address.empty())
    throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "this node's own name and address are missing", "",
                  "Give them as node => 'name@host:port'.");
  std::set<std::string> names, addresses;
  std::set<core::PublicKey> keys;
  for (size_t i = 0; i < members.size(); i++) {
    core::Member& m = members[i];
    m.id = core::NodeId{static_cast<uint16_t>(i + 1)};
    if (!names.insert(m.name).second)
      throw PgError(ERRCODE_DUPLICATE_OBJECT, "two members are named \"" + m.name + "\"");
    if (!addresses.insert(m.address).second)
      throw PgError(ERRCODE_DUPLICATE_OBJECT, "two members have the address \"" + m.address + "\"");
    if (!keys.insert(m.key).second)
      throw PgError(ERRCODE_DUPLICATE_OBJECT, "two members have the same key", "One of them is \"" + m.name + "\".",
                    "Each server makes a key of its own; was one copied from the other?");
  }
  return members;
}

// How many members must approve what would switch off contracts.
uint16_t ApprovalsArgument(FunctionCallInfo fcinfo, int i, size_t members) {
  if (PG_ARGISNULL(i)) return static_cast<uint16_t>(core::QuorumSize(members));
  int32 const approvals = PG_GETARG_INT32(i);
  if (approvals < 1 || static_cast<size_t>(approvals) > members)
    throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "approvals must be between 1 and the number of members, " + std::to_string(members));
  return static_cast<uint16_t>(approvals);
}

core::Genesis MakeGenesis(std::vector<core::Member> members, std::vector<std::string> schemas, std::string cluster_name,
                          const MemberConfig& config) {
  core::Genesis genesis;
  if (!core::RandomBytes(genesis.nonce.bytes)) throw PgError(ERRCODE_INTERNAL_ERROR, "could not generate random bytes");
  genesis.created_at_us = GetCurrentTimestamp() + kPostgresEpochUs;
  genesis.cluster_name = std::move(cluster_name);
  genesis.sequence_stride = static_cast<uint32_t>(members.size());
  genesis.members = std::move(members);
  genesis.schemas = std::move(schemas);
  genesis.environment = ComputeEnvironment(config);
  return genesis;
}

void TellWhatIsShared(const core::Genesis& genesis, uint64 tables) {
  if (!genesis.schemas.empty())
    return Notice("shared are the schemas " + DescribeSharedSchemas(genesis.schemas) +
                  " and all that will be made there");
  Notice("all schemas are shared, those that will be made later too: " + DescribeSharedSchemas({}) +
             (tables > 0 ? "; tables there: " + std::to_string(tables) : ""),
         "dadbs.set_local() keeps a table out before anything of it was shared; schemas => '{...}' limits sharing.");
}

Datum CreateCluster(FunctionCallInfo fcinfo) {
  RequireCanBecomeMember("create_cluster");
  core::Member const self = ParseOwnLine(TextArgument(fcinfo, 0));
  std::vector<core::Member> members = MakeMembers(self, ArrayArgument(fcinfo, 1, "members"));
  std::vector<std::string> const schemas = ArrayArgument(fcinfo, 2, "schemas");
  if (!PG_ARGISNULL(2) && schemas.empty())
    throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "no schema is named", "", "Leave the argument out to share all.");
  CheckSchemas(schemas);
  uint16_t const approvals = ApprovalsArgument(fcinfo, 4, members.size());

  MemberConfig config;
  config.database = MyDatabaseId;
  config.facts = ReadDatabaseFacts(&config.database_name);
  config.name = self.name;
  config.address = self.address;
  bool const alone = members.size() == 1;
  if (!alone) RequireEmpty(OccupiedSchemas(schemas));
  TakeOver(schemas);
  uint64 const tables = alone ? RecordBaseline(schemas) : 0;

  Member member;
  std::string cluster_name = TextArgument(fcinfo, 3);
  if (cluster_name.empty()) cluster_name = config.database_name;
  member.genesis = MakeGenesis(std::move(members), schemas, std::move(cluster_name), config);
  member.genesis.approvals = approvals;
  member.genesis_bytes = member.genesis.Encode();
  member.self = core::NodeId{1};
  member.config = std::move(config);
  WarnOfFsync();
  StagePending(member.config, member.genesis_bytes, IdentityOf(member));
  TellWhatIsShared(member.genesis, tables);
  return TextResult(self.address.empty() ? self.name : FormatNodeLine(self));
}

// ---- join_cluster

Datum JoinCluster(FunctionCallInfo fcinfo) {
  RequireCanBecomeMember("join_cluster");
  core::Member const self = ParseOwnLine(TextArgument(fcinfo, 0));
  if (self.address.empty())
    throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "this node's own name and address are missing", "",
                  "Give them as the founder knows them: 'name@host:port'.");
  core::Member founder = ParseNodeLine(TextArgument(fcinfo, 1), true);
  if (founder.key == self.key)
    throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "the founder's key is this node's own", "",
                  "The second argument describes the node on which create_cluster is called.");
  if (founder.name == self.name || founder.address == self.address)
    throw PgError(ERRCODE_DUPLICATE_OBJECT, "this node and the founder have the same name or address");
  MemberConfig config;
  config.database = MyDatabaseId;
  config.facts = ReadDatabaseFacts(&config.database_name);
  config.name = self.name;
  config.address = self.address;
  config.founder = std::move(founder);
  if (!PG_ARGISNULL(2)) {
    if (PG_GETARG_INT32(2) < 1) throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "approvals must be at least 1");
    config.approvals = static_cast<uint32>(PG_GETARG_INT32(2));
  }
  config.occupied_schemas = OccupiedSchemas({});
  WarnOfFsync();
  // Of the schemas that the founder may name only this one can be here already. With another owner than elsewhere, its
  // privileges would give other verdicts here.
  if (std::ranges::find(config.occupied_schemas, "public") == config.occupied_schemas.end()) TakeOver({"public"});
  Identity identity;
  identity.joining = MyDatabaseId;
  StagePending(config, {}, identity);
  Notice("the genesis block is fetched from \"" + config.founder->name + "\" at " + config.founder->address,
         "SELECT dadbs.wait_for_ready() tells how it goes on.");
  return TextResult(FormatNodeLine(self));
}

Datum DescribeNode(FunctionCallInfo fcinfo) {
  RequirePreloaded();
  core::Member node = ParseNodeLine(TextArgument(fcinfo, 0) + "@" + TextArgument(fcinfo, 1), false);
  if (!node.key.is_zero()) throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "the address reads host:port");
  node.key = OwnKey();
  return TextResult(FormatNodeLine(node));
}

std::vector<int32_t> Integers(Datum array) {
  Datum* values = nullptr;
  bool* nulls = nullptr;
  int n = 0;
  Call([&] { deconstruct_array(DatumGetArrayTypeP(array), INT4OID, 4, true, TYPALIGN_INT, &values, &nulls, &n); });
  std::vector<int32_t> all;
  for (int i = 0; i < n; i++) all.push_back(nulls[i] ? 0 : DatumGetInt32(values[i]));
  return all;
}

}  // namespace

void InitClusterHooks() {
  RegisterXactCallback(OnTransactionEvent, nullptr);
  previous_object_access = object_access_hook;
  object_access_hook = OnObjectAccess;
  InitJoiningGuard();
}

}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_check_server(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    RequireSettings();
    return static_cast<Datum>(0);
  });
}

extern "C" Datum dadbs_node_key(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    RequirePreloaded();
    return TextResult(FormatKey(OwnKey()));
  });
}

extern "C" Datum dadbs_describe_node(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return DescribeNode(fcinfo); });
}

extern "C" Datum dadbs_create_cluster(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return CreateCluster(fcinfo); });
}

extern "C" Datum dadbs_join_cluster(PG_FUNCTION_ARGS) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) PG_RETURN_NULL();
  return Enter([&]() -> Datum { return JoinCluster(fcinfo); });
}

// (isolated)
extern "C" Datum dadbs_set_isolated(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    RequirePreloaded();
    pg_atomic_write_u32(&shared->isolate_request, PG_GETARG_BOOL(0) ? 1 : 0);
    WakeWorker(&shared->consensus);
    return static_cast<Datum>(0);
  });
}

// (members integer[])
extern "C" Datum dadbs_set_deaf(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    RequirePreloaded();
    uint64_t mask = 0;
    for (int32_t const id : Integers(PG_GETARG_DATUM(0))) {
      if (id < 1 || id > 64) throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "members 1 to 64 only can be left unheard");
      mask |= uint64_t{1} << (id - 1);
    }
    pg_atomic_write_u64(&shared->deaf_request, mask);
    WakeWorker(&shared->consensus);
    return static_cast<Datum>(0);
  });
}
