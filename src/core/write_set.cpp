/*
 * write_set.cpp: making, checking and hashing write sets.
 *
 * Bytes come from other members and are believed in nothing. Two checks: the frame (header, salts and lengths), which
 * is what hashing needs and what a member checks before it votes for a batch; and the changes, which are read where
 * they are applied: a write set whose frame is right and whose changes are not is ordered and becomes `invalid` at its
 * position, on every member alike. Both walk the bytes in place: no memory is taken that the input does not pay for.
 */
#include "dadbs/core/write_set.h"

#include "dadbs/core/check.h"
#include "dadbs/core/crypto.h"
#include "dadbs/core/merkle.h"

namespace dadbs::core {
namespace {

constexpr size_t kChangeFrameBytes = Salt::kSize + 4;
constexpr uint32_t kAllFlags = kHasDdl | kHasTruncate | kForceReplay;
constexpr size_t kNamePairBytesMin = 2 * 4;  // two length fields

bool HasNul(std::string_view s) { return s.find('\0') != std::string_view::npos; }

// ---- reading -----------------------------------------------------------------------------------------------------

std::string_view ReadText(Reader& r, size_t bytes_max) {
  const std::string_view text = r.Str();
  if (text.size() > bytes_max || HasNul(text)) r.Fail();
  return text;
}

std::string_view ReadName(Reader& r) {
  const std::string_view name = ReadText(r, kNameBytesMax);
  if (name.empty()) r.Fail();
  return name;
}

RelationName ReadRelation(Reader& r) {
  RelationName relation;
  relation.schema = ReadName(r);
  relation.name = ReadName(r);
  return relation;
}

bool ReadBool(Reader& r) {
  const uint8_t v = r.U8();
  if (v > 1) r.Fail();
  return v == 1;
}

// A count of things that take at least `bytes_min` each: more cannot follow.
size_t ReadCount(Reader& r, size_t count, size_t bytes_min) {
  if (r.ok() && count <= r.remaining() / bytes_min) return count;
  r.Fail();
  return 0;
}

enum class TupleRole { kNew, kNewOfUpdate, kKey };

void ReadTuple(Reader& r, TupleRole role, Tuple* out) {
  const size_t columns = ReadCount(r, r.U16(), 1);
  if (columns > kColumnsMax) r.Fail();
  bool has_value = false;
  if (r.ok()) out->reserve(columns);
  for (size_t i = 0; r.ok() && i < columns; i++) {
    ColumnValue value;
    value.tag = static_cast<char>(r.U8());
    if (value.tag == 'b' || value.tag == 't') {
      value.bytes = r.Blob();
      has_value = true;
      if (value.tag == 't' && !value.bytes.empty() && std::memchr(value.bytes.data(), 0, value.bytes.size())) r.Fail();
    } else if (value.tag != 'n' && !(value.tag == 'u' && role == TupleRole::kNewOfUpdate)) {
      r.Fail();
    }
    out->push_back(value);
  }
  if (role == TupleRole::kKey && !has_value) r.Fail();
}

void ReadRow(Reader& r, char op, RowChange* out) {
  out->op = op;
  out->relation = ReadRelation(r);
  if (op == 'I') {
    ReadTuple(r, TupleRole::kNew, &out->row);
    return;
  }
  out->has_old_key = op == 'D' || ReadBool(r);
  if (out->has_old_key) ReadTuple(r, TupleRole::kKey, &out->old_key);
  if (op == 'D') return;
  ReadTuple(r, TupleRole::kNewOfUpdate, &out->row);
  if (out->has_old_key && out->old_key.size() != out->row.size()) r.Fail();
}

// Whoever reads changes in a row gives the last one again: its tuples' memory is used for the next.
RowChange* RowIn(Change* change) {
  auto* const row = std::get_if<RowChange>(change);
  if (row == nullptr) return &change->emplace<RowChange>();
  row->has_old_key = false;
  row->old_key.clear();
  row->row.clear();
  return row;
}

void ReadTruncate(Reader& r, TruncateChange* out) {
  const uint8_t flags = r.U8();
  if (flags > 3) r.Fail();
  out->cascade = flags & 1;
  out->restart_identity = flags & 2;
  const size_t count = ReadCount(r, r.U16(), kNamePairBytesMin);
  if (count == 0) r.Fail();
  for (size_t i = 0; r.ok() && i < count; i++) out->relations.push_back(ReadRelation(r));
}

void ReadDdl(Reader& r, DdlChange* out) {
  out->text = ReadText(r, kWriteSetBytesMax);
  if (out->text.empty()) r.Fail();
  out->role = ReadText(r, kNameBytesMax);
  out->search_path = ReadText(r, kSettingBytesMax);
  const size_t settings = ReadCount(r, r.U16(), kNamePairBytesMin);
  for (size_t i = 0; r.ok() && i < settings; i++) {
    const std::string_view name = ReadName(r);
    out->settings.emplace_back(name, ReadText(r, kSettingBytesMax));
  }
  const size_t superusers = ReadCount(r, r.U16(), 4);
  for (size_t i = 0; r.ok() && i < superusers; i++) out->superusers.push_back(ReadName(r));
}

void ReadContract(Reader& r, ContractChange* out) {
  out->op = static_cast<char>(r.U8());
  out->name = ReadName(r);
  out->language = ReadText(r, kNameBytesMax);
  out->arguments = ReadText(r, kSettingBytesMax);
  out->returns = ReadText(r, kSettingBytesMax);
  out->body = ReadText(r, kWriteSetBytesMax);
  out->options = ReadText(r, kSettingBytesMax);
  out->role = ReadText(r, kNameBytesMax);
  out->search_path = ReadText(r, kSettingBytesMax);
  const bool empty = out->language.empty() && out->arguments.empty() && out->returns.empty() && out->body.empty() &&
                     out->options.empty() && out->search_path.empty();
  if (out->op == 'X' ? !empty : out->op != 'D' || out->language.empty() || out->returns.empty()) r.Fail();
}

void ReadProposal(Reader& r, ProposalChange* out) {
  out->op = static_cast<char>(r.U8());
  out->id = r.U64();
  out->text = ReadText(r, kWriteSetBytesMax);
  out->comment = ReadText(r, kSettingBytesMax);
  out->role = ReadText(r, kNameBytesMax);
  out->search_path = ReadText(r, kSettingBytesMax);
  out->lifetime = r.U64();
  const bool vote = out->text.empty() && out->role.empty() && out->search_path.empty() && out->lifetime == 0;
  const bool good = out->op == 'P'   ? !out->text.empty() && out->lifetime > 0
                    : out->op == 'A' ? vote && out->comment.empty()
                                     : out->op == 'R' && vote;
  if (!good || out->id == 0 || out->id > INT64_MAX || out->lifetime > INT64_MAX) r.Fail();
}

void ReadSignature(Reader& r, CallChange* out) {
  out->is_signed = ReadBool(r);
  if (!out->is_signed) return;
  r.Fixed(out->key);
  out->nonce = ReadText(r, kCallNonceBytesMax);
  if (out->nonce.empty()) r.Fail();
  r.Fixed(out->signature);
}

void ReadCall(Reader& r, CallChange* out) {
  out->name = ReadName(r);
  out->role = ReadText(r, kNameBytesMax);
  const size_t count = r.U16();
  if (count > kCallArgumentsMax) r.Fail();
  for (size_t i = 0; r.ok() && i < count; i++) {
    CallArgument argument;
    argument.type = ReadText(r, kSettingBytesMax);
    const uint8_t tag = r.U8();
    argument.is_null = tag == 'n';
    if (argument.type.empty() || (tag != 'n' && tag != 't')) r.Fail();
    if (!argument.is_null) argument.value = ReadText(r, kWriteSetBytesMax);
    out->arguments.push_back(argument);
  }
  ReadSignature(r, out);
}

void ReadVote(Reader& r, ImpasseVote* out) {
  r.Num(out->position.height);
  out->position.index = r.U32();
  out->can = ReadBool(r);
}

// ---- the frame ---------------------------------------------------------------------------------------------------

bool DecodeHeader(ByteView bytes, WriteSetHeader* out) {
  Reader r(bytes);
  r.Num(out->base);
  r.Num(out->schema_base);
  out->origin_xid = r.U64();
  out->begun_at_us = r.I64();
  out->user = ReadText(r, kNameBytesMax);
  out->application_name = ReadText(r, kNameBytesMax);
  out->flags = r.U32();
  return r.Done() && out->schema_base <= out->base && (out->flags & ~kAllFlags) == 0;
}

// Walks a write set: the constructor reads up to the first change, Next one change after the other.
class Frame {
 public:
  explicit Frame(ByteView bytes) : r_(bytes) { why_ = Open(bytes.size()); }

  bool Next(ChangeView* out) {
    if (seen_ == count_ || why_ != nullptr) return false;
    const ByteView salt = r_.Raw(Salt::kSize);
    out->bytes = r_.Blob();
    if (!r_.ok()) {
      why_ = "cut off in a change";
      return false;
    }
    std::memcpy(out->salt.bytes.data(), salt.data(), Salt::kSize);
    if (++seen_ == count_ && !r_.at_end()) why_ = "bytes after the last change";
    return why_ == nullptr;
  }

  bool ok() const { return why_ == nullptr; }
  const char* why() const { return why_; }
  uint32_t seen() const { return seen_; }
  uint32_t count() const { return count_; }
  WriteSetKind kind() const { return kind_; }
  ByteView header_bytes() const { return header_bytes_; }
  WriteSetHeader& header() { return header_; }
  Digest HeaderLeaf() const {
    const uint8_t lead[2] = {kWriteSetFormat, static_cast<uint8_t>(kind_)};
    return Hash(Domain::kWriteSetHeader, {lead, header_bytes_});
  }

 private:
  const char* Open(size_t size) {
    if (size > kWriteSetBytesMax) return "larger than a write set may be";
    if (r_.U8() != kWriteSetFormat) return "unknown format";
    const uint8_t kind = r_.U8();
    if (kind < static_cast<uint8_t>(WriteSetKind::kRows) || kind > static_cast<uint8_t>(WriteSetKind::kEvidence))
      return "unknown kind";
    kind_ = static_cast<WriteSetKind>(kind);
    header_bytes_ = r_.Blob();
    if (!r_.ok() || !DecodeHeader(header_bytes_, &header_)) return "malformed header";
    count_ = r_.U32();
    if (!r_.ok() || count_ == 0 || count_ > r_.remaining() / kChangeFrameBytes) return "wrong number of changes";
    if (kind_ == WriteSetKind::kLoneDdl && count_ != 1) return "a lone statement with other changes";
    if (kind_ == WriteSetKind::kVote && count_ != 1) return "a vote with other changes";
    if (kind_ == WriteSetKind::kEvidence && count_ != 1) return "evidence with other changes";
    return nullptr;
  }

  Reader r_;
  WriteSetKind kind_ = WriteSetKind::kRows;
  ByteView header_bytes_;
  WriteSetHeader header_;
  uint32_t count_ = 0;
  uint32_t seen_ = 0;
  const char* why_ = nullptr;
};

// ---- writing -----------------------------------------------------------------------------------------------------

void WriteRelation(Writer& w, const RelationName& relation) {
  w.Str(relation.schema);
  w.Str(relation.name);
}

void WriteCount16(Writer& w, size_t count) {
  DADBS_CHECK(count <= UINT16_MAX);
  w.U16(static_cast<uint16_t>(count));
}

void WriteChange(Writer& w, const RowChange& c) {
  w.U8(static_cast<uint8_t>(c.op));
  WriteRelation(w, c.relation);
  if (c.op == 'U') w.U8(c.has_old_key ? 1 : 0);
  if (c.op == 'D' || (c.op == 'U' && c.has_old_key)) EncodeTuple(w, c.old_key);
  if (c.op != 'D') EncodeTuple(w, c.row);
}

void WriteChange(Writer& w, const TruncateChange& c) {
  w.U8('T');
  w.U8(static_cast<uint8_t>((c.cascade ? 1 : 0) | (c.restart_identity ? 2 : 0)));
  WriteCount16(w, c.relations.size());
  for (const RelationName& relation : c.relations) WriteRelation(w, relation);
}

void WriteChange(Writer& w, const DdlChange& c) {
  w.U8('Q');
  w.Str(c.text);
  w.Str(c.role);
  w.Str(c.search_path);
  WriteCount16(w, c.settings.size());
  for (const auto& [name, value] : c.settings) {
    w.Str(name);
    w.Str(value);
  }
  WriteCount16(w, c.superusers.size());
  for (std::string_view role : c.superusers) w.Str(role);
}

void WriteChange(Writer& w, const SequenceChange& c) {
  w.U8('S');
  WriteRelation(w, c.sequence);
  w.I64(c.value);
}

void WriteChange(Writer& w, const ContractChange& c) {
  w.U8('K');
  w.U8(static_cast<uint8_t>(c.op));
  for (std::string_view text : {c.name, c.language, c.arguments, c.returns, c.body, c.options, c.role, c.search_path}) w.Str(text);
}

void WriteChange(Writer& w, const ProposalChange& c) {
  w.U8('P');
  w.U8(static_cast<uint8_t>(c.op));
  w.U64(c.id);
  for (std::string_view text : {c.text, c.comment, c.role, c.search_path}) w.Str(text);
  w.U64(c.lifetime);
}

void WriteWhat(Writer& w, const CallChange& c) {
  WriteCount16(w, c.arguments.size());
  for (const CallArgument& argument : c.arguments) {
    w.Str(argument.type);
    w.U8(argument.is_null ? 'n' : 't');
    if (!argument.is_null) w.Str(argument.value);
  }
}

void WriteChange(Writer& w, const CallChange& c) {
  w.U8('C');
  w.Str(c.name);
  w.Str(c.role);
  WriteWhat(w, c);
  w.U8(c.is_signed ? 1 : 0);
  if (!c.is_signed) return;
  w.Fixed(c.key);
  w.Str(c.nonce);
  w.Fixed(c.signature);
}

void WriteChange(Writer& w, const ImpasseVote& c) {
  w.U8('V');
  w.Num(c.position.height);
  w.U32(c.position.index);
  w.U8(c.can ? 1 : 0);
}

void WriteChange(Writer& w, const EvidenceChange& c) {
  w.U8('E');
  w.Blob(c.evidence);
}

uint32_t FlagsOf(uint8_t op) {
  if (op == 'Q' || op == 'S' || op == 'K' || op == 'P') return kHasDdl;
  if (op == 'T') return kHasTruncate;
  return 0;
}

}  // namespace

void EncodeTuple(Writer& w, const Tuple& t) {
  DADBS_CHECK(t.size() <= kColumnsMax);
  w.U16(static_cast<uint16_t>(t.size()));
  for (const ColumnValue& value : t) {
    w.U8(static_cast<uint8_t>(value.tag));
    if (value.tag == 'b' || value.tag == 't') w.Blob(value.bytes);
  }
}

Bytes CallMessage(const Digest& chain_id, const CallChange& call) {
  Writer w;
  w.U8(static_cast<uint8_t>(Domain::kSignCall));
  w.Fixed(chain_id);
  w.Str(call.name);
  w.Str(call.nonce);
  WriteWhat(w, call);
  return w.Take();
}

Bytes EncodeChange(const Change& change) {
  Writer w;
  std::visit([&](const auto& c) { WriteChange(w, c); }, change);
  return w.Take();
}

bool DecodeChange(ByteView bytes, Change* out) {
  Reader r(bytes);
  const char op = static_cast<char>(r.U8());
  switch (op) {
    case 'I':
    case 'U':
    case 'D':
      ReadRow(r, op, RowIn(out));
      break;
    case 'T':
      ReadTruncate(r, &out->emplace<TruncateChange>());
      break;
    case 'Q':
      ReadDdl(r, &out->emplace<DdlChange>());
      break;
    case 'S': {
      auto& sequence = out->emplace<SequenceChange>();
      sequence.sequence = ReadRelation(r);
      sequence.value = r.I64();
      break;
    }
    case 'K':
      ReadContract(r, &out->emplace<ContractChange>());
      break;
    case 'P':
      ReadProposal(r, &out->emplace<ProposalChange>());
      break;
    case 'C':
      ReadCall(r, &out->emplace<CallChange>());
      break;
    case 'V':
      ReadVote(r, &out->emplace<ImpasseVote>());
      break;
    case 'E':
      out->emplace<EvidenceChange>().evidence = r.Blob();
      break;
    default:
      return false;
  }
  return r.Done();
}

WriteSetBuilder::WriteSetBuilder(WriteSetKind kind) : kind_(kind) {}

void WriteSetBuilder::Add(const Salt& salt, ByteView change) {
  DADBS_CHECK(!change.empty());
  flags_ |= FlagsOf(change[0]);
  body_.Fixed(salt);
  body_.Blob(change);
  count_++;
}

Bytes WriteSetBuilder::Finish(const WriteSetHeader& header) {
  Writer h;
  h.Num(header.base);
  h.Num(header.schema_base);
  h.U64(header.origin_xid);
  h.I64(header.begun_at_us);
  h.Str(header.user);
  h.Str(header.application_name);
  h.U32((header.flags & kForceReplay) | flags_);
  Writer w;
  w.U8(kWriteSetFormat);
  w.U8(static_cast<uint8_t>(kind_));
  w.Blob(h.bytes());
  w.U32(count_);
  // The changes move up within their memory, which has grown by doubling: a load's would be there twice.
  Bytes whole = body_.Take();
  body_ = Writer();
  whole.insert(whole.begin(), w.bytes().begin(), w.bytes().end());
  return whole;
}

bool ParseWriteSet(ByteView bytes, WriteSetView* out, std::string* why) {
  const auto refuse = [&](std::string reason) {
    if (why != nullptr) *why = std::move(reason);
    return false;
  };
  Frame frame(bytes);
  out->changes.clear();
  if (frame.ok()) out->changes.reserve(frame.count());
  ChangeView change;
  Change decoded;
  uint32_t flags = 0;
  while (frame.Next(&change)) {
    if (!DecodeChange(change.bytes, &decoded)) return refuse("malformed change " + std::to_string(frame.seen()));
    flags |= FlagsOf(change.bytes[0]);
    if (std::holds_alternative<CallChange>(decoded) != (frame.kind() == WriteSetKind::kCalls)) return refuse("calls among other changes");
    if (std::holds_alternative<ImpasseVote>(decoded) != (frame.kind() == WriteSetKind::kVote)) return refuse("a vote among other changes");
    if (std::holds_alternative<EvidenceChange>(decoded) != (frame.kind() == WriteSetKind::kEvidence)) return refuse("evidence among other changes");
    out->changes.push_back(change);
  }
  if (!frame.ok()) return refuse(frame.why());
  if ((frame.header().flags & ~kForceReplay) != flags) return refuse("flags that do not agree with the changes");
  if (frame.kind() == WriteSetKind::kLoneDdl && !std::holds_alternative<DdlChange>(decoded))
    return refuse("a lone statement that is no statement");
  out->kind = frame.kind();
  out->header = std::move(frame.header());
  out->header_bytes = frame.header_bytes();
  return true;
}

bool ParseVote(ByteView bytes, ImpasseVote* out) {
  if (bytes.size() < 2 || bytes[1] != static_cast<uint8_t>(WriteSetKind::kVote)) return false;
  WriteSetView view;
  Change change;
  if (!ParseWriteSet(bytes, &view) || !DecodeChange(view.changes[0].bytes, &change)) return false;
  *out = std::get<ImpasseVote>(change);
  return true;
}

bool ParseWriteSetHeader(ByteView bytes, WriteSetHeader* out) {
  Frame frame(bytes);
  if (!frame.ok()) return false;
  *out = std::move(frame.header());
  return true;
}

bool HasWriteSetFrame(ByteView bytes) {
  Frame frame(bytes);
  for (ChangeView change; frame.Next(&change);) continue;
  return frame.ok();
}

Digest ChangeLeaf(const ChangeView& change) { return Hash(Domain::kChangeLeaf, {change.salt.view(), change.bytes}); }

bool TransactionHash(ByteView write_set, Digest* out) {
  Frame frame(write_set);
  if (!frame.ok()) return false;
  MerkleBuilder tree;
  tree.Add(frame.HeaderLeaf());
  for (ChangeView change; frame.Next(&change);) tree.Add(ChangeLeaf(change));
  if (!frame.ok()) return false;
  *out = tree.Root();
  return true;
}

std::vector<Digest> TransactionLeaves(const WriteSetView& ws) {
  const uint8_t lead[2] = {kWriteSetFormat, static_cast<uint8_t>(ws.kind)};
  std::vector<Digest> leaves;
  leaves.reserve(1 + ws.changes.size());
  leaves.push_back(Hash(Domain::kWriteSetHeader, {lead, ws.header_bytes}));
  for (const ChangeView& change : ws.changes) leaves.push_back(ChangeLeaf(change));
  return leaves;
}

Digest WriteSetIdentity(ByteView write_set) { return Hash(Domain::kWriteSet, write_set); }

}  // namespace dadbs::core
