/*
 * write_set.h: what one transaction changed, as it travels, is hashed and is applied.
 *
 * Layout (canonical encoding, see encoding.h):
 *   u8 format (1), u8 kind, blob header, u32 count, count x (16 bytes salt, blob change)
 * Header: base, schema base (Prefix), origin's full xid, begun at, user, application name, flags.
 * The transaction's hash is a Merkle root: leaf 0 = Hash(kWriteSetHeader, format || kind || header bytes),
 * leaf i = Hash(kChangeLeaf, salt || change bytes). So one row can be proved, or erased, by itself.
 *
 * A change names its relation in full, so that it can be read alone. Columns are the live ones in attnum order.
 *   'I' schema, name, new tuple
 *   'U' schema, name, u8 has_old_key, [old key tuple], new tuple   (old key: only where the key changed)
 *   'D' schema, name, old key tuple     (a key tuple has as many columns as the row; all but the key are null)
 *   'T' u8 flags (1 cascade, 2 restart identity), u16 n, n x (schema, name)
 *   'Q' DDL: see DdlChange
 *   'S' sequence moved: schema, name, i64 value   (a setval: every member moves past it)
 *   'K' contract: u8 op ('D' deployed, 'X' dropped), name, language, arguments, returns, body, options, role, search_path
 *       (dropped: all but name and role are empty)
 *   'P' proposal: u8 op ('P' proposed, 'A' approved, 'R' rejected), u64 id, text, comment, role, search_path, u64 lifetime
 *       (approved, rejected: all but the id, and the comment of a rejection, are empty)
 *   'C' call of a contract: name, role, u16 n, n x (type, u8 tag 'n' or 't', [text]), u8 signed (0, 1),
 *       [32 bytes public key, nonce, 64 bytes signature]
 *   'V' vote on a position that members could not execute: u64 height, u32 index, u8 can (0, 1)
 *   'E' evidence: blob (evidence.h; what is in it is judged at its position)
 * Tuple: u16 columns, each u8 tag: 'n' null, 'u' unchanged TOAST (only in the new tuple of a 'U'), 'b' binary blob,
 * 't' text blob. A key tuple has at least one value. Texts and names hold no NUL; names of relations are not empty.
 * schema_base <= base, at least one change, flags as the changes say, 'C' in write sets of calls and nothing else there, one 'V' in
 * those of votes and one 'E' in those of evidence and nowhere else: everything else is malformed.
 */
#pragma once

#include <variant>

#include "dadbs/core/encoding.h"
#include "dadbs/core/types.h"

namespace dadbs::core {

inline constexpr uint8_t kWriteSetFormat = 1;
inline constexpr size_t kWriteSetBytesMax = 512u << 20;
inline constexpr size_t kNameBytesMax = 255;           // of a schema, relation, role, setting, application
inline constexpr size_t kSettingBytesMax = 64u << 10;  // of a setting's value or a search_path
inline constexpr size_t kColumnsMax = 1664;            // as Postgres's MaxTupleAttributeNumber
inline constexpr size_t kCallArgumentsMax = 99;        // one less than Postgres's FUNC_MAX_ARGS: a procedure's result
inline constexpr size_t kCallNonceBytesMax = 64;

enum class WriteSetKind : uint8_t {
  kRows = 1,     // row changes and TRUNCATEs, perhaps DDL executed inside the block, in order
  kLoneDdl = 2,  // exactly one DdlChange: takes its turn first, executed by the apply worker of every member
  kCalls = 3,    // CallChanges: executed together, or not at all, as a lone statement is
  kVote = 4,     // exactly one ImpasseVote, of the member itself: no client waits for it
  kEvidence = 5,  // exactly one EvidenceChange: no session's, by a member's consensus worker
};

enum WriteSetFlags : uint32_t {
  kHasDdl = 1,       // at least one 'Q', 'S', 'K' or 'P': never on the fast path
  kHasTruncate = 2,  // never on the fast path
  kForceReplay = 4,  // the origin's session was not fit for the fast path (session_replication_role, ...), or others may not read or store a row alike
};

struct WriteSetHeader {
  Prefix base;
  Prefix schema_base;
  uint64_t origin_xid = 0;  // what pg_current_xact_id() gave; 0 for lone DDL
  int64_t begun_at_us = 0;  // Unix epoch
  std::string user;         // session user at the origin, as the origin claims
  std::string application_name;
  uint32_t flags = 0;
};

struct ColumnValue {
  char tag = 'n';  // 'n', 'u', 'b', 't'
  ByteView bytes;  // into the write set
};
using Tuple = std::vector<ColumnValue>;

struct RelationName {
  std::string_view schema;
  std::string_view name;
  auto operator<=>(const RelationName&) const = default;
};

struct RowChange {
  char op = 'I';  // 'I', 'U', 'D'
  RelationName relation;
  bool has_old_key = false;
  Tuple old_key;  // 'D' always, 'U' if has_old_key
  Tuple row;      // 'I', 'U'
};

struct TruncateChange {
  bool cascade = false;
  bool restart_identity = false;
  std::vector<RelationName> relations;
};

struct DdlChange {
  std::string_view text;         // one statement
  std::string_view role;         // the author; empty: the owner of the shared schemas (a superuser wrote it)
  std::string_view search_path;  // cut to shared schemas
  std::vector<std::pair<std::string_view, std::string_view>> settings;  // GUCs that matter
  std::vector<std::string_view> superusers;  // role names in the text that are superusers at the origin
};

struct SequenceChange {
  RelationName sequence;
  int64_t value = 0;
};

struct ContractChange {
  char op = 'D';               // 'D' a new version, 'X' dropped
  std::string_view name;
  std::string_view language;   // "plpgsql", "sql"
  std::string_view arguments;  // as in CREATE FUNCTION; a trigger's contract has none
  std::string_view returns;    // "trigger", or the type of the result
  std::string_view body;
  std::string_view options;    // jsonb, as text
  std::string_view role;       // the author, as DdlChange's
  std::string_view search_path;
};

struct ProposalChange {
  char op = 'P';                 // 'P' proposed, 'A' approved, 'R' rejected
  uint64_t id = 0;
  std::string_view text;         // statements
  std::string_view comment;      // of a rejection: its reason
  std::string_view role;         // the proposer's, as DdlChange's
  std::string_view search_path;
  uint64_t lifetime = 0;         // blocks
};

struct CallArgument {
  std::string_view type;  // as format_type gives it, with its schema unless it is built in
  bool is_null = false;
  std::string_view value;  // as text
};

struct CallChange {
  std::string_view name;
  std::string_view role;  // the caller, as DdlChange's
  std::vector<CallArgument> arguments;
  bool is_signed = false;  // then: by whom, over CallMessage()
  PublicKey key;
  std::string_view nonce;
  Signature signature;
};

struct ImpasseVote {
  Position position;
  bool can = false;  // whether this member can execute it, given somewhat more stack than is usual (src/pg/apply/impasse.cpp)
};

struct EvidenceChange {
  ByteView evidence;  // Evidence::Encode
};

using Change = std::variant<RowChange, TruncateChange, DdlChange, SequenceChange, ContractChange, ProposalChange, CallChange, ImpasseVote,
                            EvidenceChange>;

// Makes a write set. Changes are appended as canonical bytes; the header is set at the end, when the base is known:
// Finish can be called once. kHasDdl and kHasTruncate are set by what was added; of header.flags only kForceReplay
// counts.
class WriteSetBuilder {
 public:
  explicit WriteSetBuilder(WriteSetKind kind);
  // `change` is the canonical encoding (EncodeChange below, or written in place by capture for speed).
  void Add(const Salt& salt, ByteView change);
  uint32_t count() const { return count_; }
  size_t size() const { return body_.size(); }
  Bytes Finish(const WriteSetHeader& header);

 private:
  WriteSetKind kind_;
  uint32_t count_ = 0;
  uint32_t flags_ = 0;
  Writer body_;
};

void EncodeTuple(Writer& w, const Tuple& t);
// What the signature of a signed call is over; the nonce counts, key and signature do not.
Bytes CallMessage(const Digest& chain_id, const CallChange& call);
Bytes EncodeChange(const Change& change);
bool DecodeChange(ByteView bytes, Change* out);  // false: not canonical

struct ChangeView {
  Salt salt;
  ByteView bytes;
};

// A parsed write set: views into the caller's bytes.
struct WriteSetView {
  WriteSetKind kind = WriteSetKind::kRows;
  WriteSetHeader header;
  ByteView header_bytes;
  std::vector<ChangeView> changes;
};

// Checks the frame and every change. False: malformed; `why` (if not null) says where.
bool ParseWriteSet(ByteView bytes, WriteSetView* out, std::string* why = nullptr);
// Of a write set of that kind; false for any other.
bool ParseVote(ByteView bytes, ImpasseVote* out);
bool ParseWriteSetHeader(ByteView bytes, WriteSetHeader* out);  // the cheap part, for views: does not read the changes

bool HasWriteSetFrame(ByteView bytes);  // the frame check, without a hash: TransactionHash will work

Digest ChangeLeaf(const ChangeView& change);
// The transaction's hash. Works on any bytes that pass the frame check; false otherwise.
bool TransactionHash(ByteView write_set, Digest* out);
std::vector<Digest> TransactionLeaves(const WriteSetView& ws);  // for proofs

// Identity of the exact bytes: what a waiting backend is matched by.
Digest WriteSetIdentity(ByteView write_set);

}  // namespace dadbs::core
