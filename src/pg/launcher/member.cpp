/*
 * member.cpp: the member's files of member.h, and what the postmaster publishes of them.
 *
 * Reading happens in every process, writing in the backend that runs create_cluster or join_cluster and, for the
 * genesis, in the consensus worker that has fetched it. A file is complete or absent: a crash leaves at most "*.tmp",
 * which nobody reads.
 */
#include "dadbs/pg/member.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "dadbs/core/crypto.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
}

namespace dadbs::pg {
namespace {

constexpr size_t kFileBytesMax = 16u << 20;
constexpr size_t kSeedBytes = 32;
constexpr const char* kStaged = ".staged";

[[noreturn]] void FailFile(const char* action, const std::string& path) {
  int const saved = errno;
  int const sqlstate = saved == ENOSPC   ? ERRCODE_DISK_FULL
                       : saved == EACCES ? ERRCODE_INSUFFICIENT_PRIVILEGE
                                         : ERRCODE_IO_ERROR;
  throw PgError(sqlstate, std::string("could not ") + action + " file \"" + path + "\": " + strerror(saved));
}

class File {
 public:
  File(const std::string& path, int flags, int mode) : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  bool ok() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void Sync() const {
    if (fsync(fd_) != 0) FailFile("fsync", path_);
  }

 private:
  std::string path_;
  int fd_;
};

void SyncDirectoryOf(const std::string& path) {
  size_t const slash = path.rfind('/');
  File const directory(slash == std::string::npos ? "." : path.substr(0, slash), O_RDONLY | O_DIRECTORY, 0);
  if (!directory.ok()) FailFile("open directory of", path);
  directory.Sync();
}

void EnsureMemberDirectory() {
  std::string const directory = MemberDirectory();
  if (mkdir(directory.c_str(), 0700) == 0) {
    SyncDirectoryOf(directory);
    return;
  }
  if (errno != EEXIST) FailFile("create directory", directory);
}

std::string GenesisFile() { return MemberDirectory() + "/genesis"; }
std::string ConfigFile() { return MemberDirectory() + "/member.conf"; }

// ---- member.conf: "name = value" lines, a value ends with its line; '#' begins a comment line.

class ConfigLines {
 public:
  explicit ConfigLines(core::ByteView bytes) {
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    while (!text.empty()) {
      size_t const end = std::min(text.find('\n'), text.size());
      Add(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }
  std::string Get(const std::string& name) const {
    auto const it = values_.find(name);
    return it == values_.end() ? "" : it->second;
  }
  std::vector<std::string> GetAll(const std::string& name) const {
    std::vector<std::string> all;
    for (auto [it, end] = values_.equal_range(name); it != end; ++it) all.push_back(it->second);
    return all;
  }

 private:
  void Add(std::string_view line) {
    if (line.empty() || line.front() == '#') return;
    size_t const at = line.find(" = ");
    if (at == std::string_view::npos)
      throw PgError(ERRCODE_CONFIG_FILE_ERROR, "file \"" + ConfigFile() + "\" is damaged",
                    "It holds the line \"" + std::string(line) + "\".");
    values_.emplace(line.substr(0, at), line.substr(at + 3));
  }
  std::multimap<std::string, std::string> values_;
};

MemberConfig ParseConfig(core::ByteView bytes) {
  ConfigLines const lines(bytes);
  MemberConfig config;
  std::string const database = lines.Get("database");
  auto const [end, error] = std::from_chars(database.data(), database.data() + database.size(), config.database);
  config.database_name = lines.Get("database_name");
  config.name = lines.Get("name");
  config.address = lines.Get("address");
  config.facts = {lines.Get("encoding"), lines.Get("provider"), lines.Get("collate"), lines.Get("ctype"),
                  lines.Get("icu_locale")};
  config.occupied_schemas = lines.GetAll("occupied_schema");
  std::string const approvals = lines.Get("approvals");
  (void)std::from_chars(approvals.data(), approvals.data() + approvals.size(), config.approvals);
  if (std::string const founder = lines.Get("founder"); !founder.empty()) config.founder = ParseNodeLine(founder, true);
  if (error != std::errc{} || end != database.data() + database.size() || config.database == InvalidOid ||
      config.name.empty() || config.facts.encoding.empty())
    throw PgError(ERRCODE_CONFIG_FILE_ERROR, "file \"" + ConfigFile() + "\" is damaged",
                  "It lacks the shared database, this node's name or the database's encoding.");
  return config;
}

Member MakeMember(MemberConfig config, core::Bytes genesis_bytes) {
  Member member;
  if (!core::Genesis::Decode(genesis_bytes, &member.genesis))
    throw PgError(ERRCODE_DATA_CORRUPTED, "file \"" + GenesisFile() + "\" is damaged",
                  "Its hash is the cluster's identity; every member holds the same file.");
  if (member.genesis.members.size() > kNodesShownMax)
    throw PgError(ERRCODE_CONFIG_FILE_ERROR, "the cluster has more than " + std::to_string(kNodesShownMax) + " members");
  const core::Member* const self = member.genesis.FindByName(config.name);
  if (self == nullptr)
    throw PgError(ERRCODE_CONFIG_FILE_ERROR, "the cluster's genesis does not name this node",
                  "File \"" + ConfigFile() + "\" says that it is \"" + config.name + "\".");
  member.self = self->id;
  member.genesis_bytes = std::move(genesis_bytes);
  member.config = std::move(config);
  return member;
}

// The cache of CurrentMember(): of this process, for one value of the counter.
struct Cache {
  bool filled = false;
  uint32 requests = 0;
  std::optional<Member> member;
};
Cache cache;

}  // namespace

std::string MemberDirectory() { return std::string(DataDir) + "/dadbs"; }

std::string JournalDirectory() {
  if (guc_journal_directory != nullptr && guc_journal_directory[0] != '\0') return guc_journal_directory;
  return MemberDirectory() + "/journal";
}

std::string KeyFile() {
  if (guc_key_file != nullptr && guc_key_file[0] != '\0') return guc_key_file;
  return MemberDirectory() + "/node.key";
}

std::optional<core::Bytes> ReadMemberFile(const std::string& path) {
  File const file(path, O_RDONLY, 0);
  if (!file.ok()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    FailFile("open", path);
  }
  struct stat st;
  if (fstat(file.fd(), &st) != 0) FailFile("stat", path);
  if (st.st_size < 0 || static_cast<size_t>(st.st_size) > kFileBytesMax)
    throw PgError(ERRCODE_DATA_CORRUPTED, "file \"" + path + "\" is too large to be what it should be");
  core::Bytes bytes(static_cast<size_t>(st.st_size));
  size_t at = 0;
  while (at < bytes.size()) {
    ssize_t const n = read(file.fd(), bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailFile("read", path);
    if (n == 0) break;
    at += static_cast<size_t>(n);
  }
  bytes.resize(at);
  return bytes;
}

void WriteFileDurably(const std::string& path, core::ByteView bytes, int mode) {
  std::string const temporary = path + ".tmp";
  {
    File const file(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (!file.ok()) FailFile("create", temporary);
    for (size_t at = 0; at < bytes.size();) {
      ssize_t const n = write(file.fd(), bytes.data() + at, bytes.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) FailFile("write", temporary);
      at += static_cast<size_t>(n);
    }
    file.Sync();
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) FailFile("rename", temporary);
  SyncDirectoryOf(path);
}

namespace {

std::optional<core::Bytes> LoadSeed(const std::string& path) {
  std::optional<core::Bytes> seed = ReadMemberFile(path);
  if (!seed) return seed;
  if (seed->size() != kSeedBytes)
    throw PgError(ERRCODE_CONFIG_FILE_ERROR, "file \"" + path + "\" is not a node key",
                  "It must hold exactly 32 bytes.", "Restore it; a new key is a new node.");
  struct stat st;
  if (stat(path.c_str(), &st) == 0 && (st.st_mode & S_IRWXO) != 0)
    throw PgError(ERRCODE_CONFIG_FILE_ERROR, "node key \"" + path + "\" can be read by everybody on this machine", "",
                  "chmod 0600 it. Who has read it can vote in this member's name.");
  return seed;
}

// Two sessions that ask for the key first must get the same.
class SharedLock {
 public:
  SharedLock() { LWLockAcquire(shared->lock, LW_EXCLUSIVE); }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;
  ~SharedLock() { LWLockRelease(shared->lock); }
};

}  // namespace

core::Bytes LoadOrCreateSeed() {
  std::string const path = KeyFile();
  std::optional<core::Bytes> seed = LoadSeed(path);
  if (seed) return std::move(*seed);
  SharedLock const lock;
  seed = LoadSeed(path);
  if (seed) return std::move(*seed);
  // A member whose key is gone must not become somebody else by itself.
  if (ReadMemberFile(ConfigFile()))
    throw PgError(ERRCODE_CONFIG_FILE_ERROR, "the node key \"" + path + "\" of this member is missing", "",
                  "Restore the file, or set dadbs.key_file to where it is.");
  EnsureMemberDirectory();
  core::Bytes fresh(kSeedBytes);
  if (!core::RandomBytes(fresh)) throw PgError(ERRCODE_INTERNAL_ERROR, "could not generate random bytes");
  WriteFileDurably(path, fresh, 0600);
  return fresh;
}

std::optional<MemberConfig> LoadMemberConfig() {
  std::optional<core::Bytes> const bytes = ReadMemberFile(ConfigFile());
  if (!bytes) return std::nullopt;
  return ParseConfig(*bytes);
}

std::optional<Member> LoadMember() {
  std::optional<MemberConfig> config = LoadMemberConfig();
  if (!config) return std::nullopt;
  std::optional<core::Bytes> genesis = ReadMemberFile(GenesisFile());
  if (!genesis) {
    if (config->founder) return std::nullopt;
    throw PgError(ERRCODE_CONFIG_FILE_ERROR, "file \"" + GenesisFile() + "\" is missing", "",
                  "Copy it from another member: it is the same file on all of them.");
  }
  return MakeMember(std::move(*config), std::move(*genesis));
}

std::string FormatMemberConfig(const MemberConfig& config) {
  std::string text = "# dadbs: written by create_cluster and join_cluster; not for editing\n";
  auto const line = [&](const char* name, std::string value) {
    std::replace(value.begin(), value.end(), '\n', ' ');
    if (!value.empty()) text += std::string(name) + " = " + value + "\n";
  };
  line("database", std::to_string(config.database));
  line("database_name", config.database_name);
  line("name", config.name);
  line("address", config.address);
  line("encoding", config.facts.encoding);
  line("provider", config.facts.provider);
  line("collate", config.facts.collate);
  line("ctype", config.facts.ctype);
  line("icu_locale", config.facts.icu_locale);
  for (const std::string& schema : config.occupied_schemas) line("occupied_schema", schema);
  if (config.approvals != 0) line("approvals", std::to_string(config.approvals));
  if (config.founder) line("founder", FormatNodeLine(*config.founder));
  return text;
}

void StoreGenesis(core::ByteView genesis) {
  EnsureMemberDirectory();
  WriteFileDurably(GenesisFile(), genesis, 0600);
}

void StageMember(const MemberConfig& config, core::ByteView genesis) {
  EnsureMemberDirectory();
  RemoveStagedMember();
  if (!genesis.empty()) WriteFileDurably(GenesisFile() + kStaged, genesis, 0600);
  WriteFileDurably(ConfigFile() + kStaged, core::AsBytes(FormatMemberConfig(config)), 0600);
}

// member.conf last: a genesis without it means nothing. Paths in buffers: memory may be short, nothing may be thrown.
bool PlaceStagedMember() noexcept {
  for (const char* name : {"genesis", "member.conf"}) {
    char staged[MAXPGPATH], path[MAXPGPATH];
    snprintf(staged, sizeof(staged), "%s/dadbs/%s%s", DataDir, name, kStaged);
    snprintf(path, sizeof(path), "%s/dadbs/%s", DataDir, name);
    if (rename(staged, path) != 0 && errno != ENOENT) return false;
  }
  char directory[MAXPGPATH];
  snprintf(directory, sizeof(directory), "%s/dadbs", DataDir);
  int const fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool const synced = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  return synced;
}

void RemoveStagedMember() noexcept {
  for (const char* name : {"member.conf", "genesis"}) {
    char staged[MAXPGPATH];
    snprintf(staged, sizeof(staged), "%s/dadbs/%s%s", DataDir, name, kStaged);
    unlink(staged);
  }
}

// A genesis alone is what a crash in the middle of PlaceStagedMember leaves: not a membership.
std::string LeftoverOfOlderCluster() {
  for (const std::string& path : {ConfigFile(), RetiredConfigFile(), JournalDirectory()}) {
    struct stat st;
    if (stat(path.c_str(), &st) == 0) return path;
  }
  return "";
}

std::string RetiredConfigFile() { return ConfigFile() + ".dropped"; }

bool RetireMemberConfig() noexcept {
  char from[MAXPGPATH], to[MAXPGPATH];
  snprintf(from, sizeof(from), "%s/dadbs/member.conf", DataDir);
  snprintf(to, sizeof(to), "%s/dadbs/member.conf.dropped", DataDir);
  return rename(from, to) == 0;
}

const Member* CurrentMember() {
  if (shared == nullptr) return nullptr;
  uint32 const requests = pg_atomic_read_u32(&shared->configure_requests);
  if (!cache.filled || cache.requests != requests) {
    cache.member = pg_atomic_read_u32(&shared->database) == InvalidOid ? std::nullopt : LoadMember();
    cache.requests = requests;
    cache.filled = true;
  }
  return cache.member ? &*cache.member : nullptr;
}

std::string NodeName(core::NodeId id) {
  const Member* const member = CurrentMember();
  const core::Member* const node = member == nullptr ? nullptr : member->genesis.Find(id);
  return node != nullptr ? node->name : "node " + std::to_string(id.value);
}

Identity IdentityOf(const Member& member) {
  Identity identity;
  identity.database = member.config.database;
  identity.self = member.self.value;
  core::Digest const chain_id = member.genesis.chain_id();
  memcpy(identity.chain_id, chain_id.bytes.data(), sizeof(identity.chain_id));
  identity.sequence_stride = member.genesis.sequence_stride;
  identity.approvals = static_cast<uint32>(member.genesis.approvals_needed());
  return identity;
}

void PublishIdentity(const Identity& identity) noexcept {
  shared->self_id = identity.self;
  memcpy(shared->chain_id, identity.chain_id, sizeof(shared->chain_id));
  shared->sequence_stride = identity.sequence_stride;
  shared->approvals = identity.approvals;
  pg_atomic_write_u32(&shared->joining_database, identity.joining);
  pg_write_barrier();
  pg_atomic_write_u32(&shared->database, identity.database);
  pg_atomic_fetch_add_u32(&shared->configure_requests, 1);
}

void PublishMember() {
  std::string problem;
  try {
    std::optional<MemberConfig> const config = LoadMemberConfig();
    std::optional<Member> const member = LoadMember();
    Identity identity;
    if (member)
      identity = IdentityOf(*member);
    else if (config)
      identity.joining = config->database;
    PublishIdentity(identity);
    if (config) SetMemberState(member ? MemberState::kStarting : MemberState::kJoining, "the server is starting");
    return;
  } catch (const PgError& e) {
    problem = e.message() + (e.detail().empty() ? "" : " (" + e.detail() + ")");
  }
  static char text[1024];
  strlcpy(text, problem.c_str(), sizeof(text));
  problem.clear();
  problem.shrink_to_fit();
  ereport(FATAL, (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("dadbs cannot tell which database is shared: %s", text),
                  errhint("Restore the directory \"dadbs\" of the data directory.")));
}

}  // namespace dadbs::pg
