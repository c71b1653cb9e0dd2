#include "dadbs/core/write_set.h"

#include <gtest/gtest.h>

#include "chain_fixture.h"
#include "dadbs/core/merkle.h"

namespace dadbs::core {
namespace {

using test::Binary;
using test::Null;
using test::Random;
using test::Text;
using test::Unchanged;

const Bytes kBlob = {0, 1, 2, 255};

RowChange Row(char op, Tuple old_key, Tuple row) {
  RowChange c;
  c.op = op;
  c.relation = {"public", "orders"};
  c.has_old_key = !old_key.empty();
  c.old_key = std::move(old_key);
  c.row = std::move(row);
  return c;
}

DdlChange Ddl() {
  DdlChange c;
  c.text = "CREATE TABLE t (id int)";
  c.role = "alice";
  c.search_path = "public";
  c.settings = {{"DateStyle", "ISO"}, {"default_tablespace", ""}};
  c.superusers = {"postgres"};
  return c;
}

CallChange SignedCall() {
  CallChange c{"release", "", {{"int4", false, "-1"}}, true, {}, "nonce 1", {}};
  c.key.bytes.fill(0x11);
  c.signature.bytes.fill(0x22);
  return c;
}

std::vector<Change> EveryCall() {
  return {CallChange{"transfer", "alice", {{"text", false, "a"}, {"numeric", true, ""}, {"text", false, ""}}, false, {}, "", {}},
          CallChange{"tick", "", {}, false, {}, "", {}}, SignedCall()};
}

std::vector<Change> EveryChange() {
  return {
      Row('I', {}, {Text("1"), Null(), Binary(kBlob)}),   Row('I', {}, {}),  // a table without columns
      Row('U', {}, {Text("1"), Unchanged(), Binary({})}), Row('U', {Text("1"), Null()}, {Text("2"), Unchanged()}),
      Row('D', {Text("1"), Null(), Null()}, {}),          TruncateChange{true, false, {{"public", "a"}, {"s", "b"}}},
      TruncateChange{false, true, {{"public", "a"}}},     Ddl(),
      DdlChange{"DROP TABLE t", "", "", {}, {}},          SequenceChange{{"public", "t_id_seq"}, -5},
      ContractChange{'D', "c", "plpgsql", "a int", "void", "BEGIN END", "{}", "alice", "public"},
      ContractChange{'X', "c", "", "", "", "", "", "", ""},
      ProposalChange{'P', 7, "DROP TABLE t", "why", "alice", "public", 1000},
      ProposalChange{'A', 7, "", "", "", "", 0},
      ProposalChange{'R', 7, "", "no", "", "", 0}};
}

WriteSetHeader Header(uint32_t flags = 0) {
  WriteSetHeader h;
  h.base = PrefixAfter({Height{5}, 3});
  h.schema_base = PrefixWholeBlock(Height{4});
  h.origin_xid = 0x1'0000'0042;
  h.begun_at_us = -1;
  h.user = "alice";
  h.application_name = "psql";
  h.flags = flags;
  return h;
}

Salt SaltOf(uint8_t i) { return test::Filled<Salt>(i); }

Bytes Build(const std::vector<Change>& changes, WriteSetKind kind = WriteSetKind::kRows, uint32_t flags = 0) {
  WriteSetBuilder builder(kind);
  uint8_t i = 0;
  for (const Change& change : changes) builder.Add(SaltOf(i++), EncodeChange(change));
  return builder.Finish(Header(flags));
}

bool Parses(ByteView bytes) {
  WriteSetView view;
  return ParseWriteSet(bytes, &view);
}

// Replaces the flags, which stand at the end of the header.
void SetFlags(Bytes* bytes, uint32_t flags) {
  const size_t header_size = (*bytes)[2] << 24 | (*bytes)[3] << 16 | (*bytes)[4] << 8 | (*bytes)[5];
  for (int i = 0; i < 4; i++) (*bytes)[6 + header_size - 4 + i] = static_cast<uint8_t>(flags >> (24 - 8 * i));
}

TEST(WriteSet, ChangesRoundTrip) {
  for (const Change& change : EveryChange()) {
    const Bytes bytes = EncodeChange(change);
    Change read;
    ASSERT_TRUE(DecodeChange(bytes, &read)) << ToHex(bytes);
    EXPECT_EQ(read.index(), change.index());
    EXPECT_EQ(EncodeChange(read), bytes);
  }
}

// Whoever reads many changes uses one variable for all of them: nothing of the one before may stay.
TEST(WriteSet, ChangesReadIntoTheSamePlace) {
  const auto changes = EveryChange();
  Change read;
  for (const Change& first : changes) {
    for (const Change& second : changes) {
      const Bytes bytes_before = EncodeChange(first), bytes = EncodeChange(second);
      ASSERT_TRUE(DecodeChange(bytes_before, &read));
      ASSERT_TRUE(DecodeChange(bytes, &read));
      EXPECT_EQ(read.index(), second.index());
      EXPECT_EQ(EncodeChange(read), bytes);
      const auto* const expected = std::get_if<RowChange>(&second);
      const auto* const row = std::get_if<RowChange>(&read);
      ASSERT_EQ(row != nullptr, expected != nullptr);
      if (row == nullptr) continue;
      EXPECT_EQ(row->has_old_key, expected->op == 'D' || expected->has_old_key);
      EXPECT_EQ(row->old_key.size(), expected->old_key.size());
      EXPECT_EQ(row->row.size(), expected->row.size());
    }
  }
}

TEST(WriteSet, RowKeepsItsFields) {
  Change read;
  const Bytes bytes = EncodeChange(Row('U', {Text("1"), Null()}, {Text("2"), Unchanged()}));
  ASSERT_TRUE(DecodeChange(bytes, &read));
  const auto& row = std::get<RowChange>(read);
  EXPECT_EQ(row.op, 'U');
  EXPECT_EQ(row.relation, (RelationName{"public", "orders"}));
  ASSERT_TRUE(row.has_old_key);
  EXPECT_EQ(row.old_key[0].tag, 't');
  EXPECT_EQ(ToHex(row.old_key[0].bytes), "31");
  EXPECT_EQ(row.old_key[1].tag, 'n');
  EXPECT_EQ(row.row[1].tag, 'u');
}

TEST(WriteSet, WholeRoundTrip) {
  const auto changes = EveryChange();
  const Bytes bytes = Build(changes, WriteSetKind::kRows, kForceReplay);
  WriteSetView view;
  std::string why;
  ASSERT_TRUE(ParseWriteSet(bytes, &view, &why)) << why;
  EXPECT_EQ(view.kind, WriteSetKind::kRows);
  EXPECT_EQ(view.header.base, Header().base);
  EXPECT_EQ(view.header.schema_base, Header().schema_base);
  EXPECT_EQ(view.header.origin_xid, 0x1'0000'0042u);
  EXPECT_EQ(view.header.begun_at_us, -1);
  EXPECT_EQ(view.header.user, "alice");
  EXPECT_EQ(view.header.application_name, "psql");
  EXPECT_EQ(view.header.flags, static_cast<uint32_t>(kHasDdl | kHasTruncate | kForceReplay));
  ASSERT_EQ(view.changes.size(), changes.size());
  for (size_t i = 0; i < changes.size(); i++) {
    EXPECT_EQ(view.changes[i].salt, SaltOf(static_cast<uint8_t>(i)));
    const Bytes expected = EncodeChange(changes[i]);
    EXPECT_TRUE(
        std::equal(expected.begin(), expected.end(), view.changes[i].bytes.begin(), view.changes[i].bytes.end()));
  }
  WriteSetHeader header;
  ASSERT_TRUE(ParseWriteSetHeader(bytes, &header));
  EXPECT_EQ(header.flags, view.header.flags);
}

TEST(WriteSet, HashIsTheMerkleRootOfItsLeaves) {
  const Bytes bytes = Build(EveryChange());
  WriteSetView view;
  ASSERT_TRUE(ParseWriteSet(bytes, &view));
  Digest hash;
  ASSERT_TRUE(TransactionHash(bytes, &hash));
  ASSERT_TRUE(HasWriteSetFrame(bytes));
  const auto leaves = TransactionLeaves(view);
  EXPECT_EQ(leaves.size(), 1 + view.changes.size());
  EXPECT_EQ(MerkleRoot(leaves), hash);
  EXPECT_EQ(leaves[3], ChangeLeaf(view.changes[2]));
  EXPECT_EQ(MerkleRootFrom(ChangeLeaf(view.changes[2]), MerkleProof(leaves, 3)), hash);  // one row, proved alone
}

TEST(WriteSet, EveryTruncationAndEveryExtensionIsRefused) {
  const Bytes bytes = Build(EveryChange());
  Digest hash;
  for (size_t size = 0; size < bytes.size(); size++) {
    ASSERT_FALSE(Parses(ByteView(bytes).first(size))) << size;
    ASSERT_FALSE(TransactionHash(ByteView(bytes).first(size), &hash)) << size;
    ASSERT_FALSE(HasWriteSetFrame(ByteView(bytes).first(size))) << size;
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(Parses(longer));
  EXPECT_FALSE(TransactionHash(longer, &hash));
  std::vector<Change> all = EveryChange();
  for (const Change& call : EveryCall()) all.push_back(call);
  for (const Change& change : all) {
    Bytes encoded = EncodeChange(change);
    Change read;
    for (size_t size = 0; size < encoded.size(); size++)
      ASSERT_FALSE(DecodeChange(ByteView(encoded).first(size), &read));
    encoded.push_back(0);
    ASSERT_FALSE(DecodeChange(encoded, &read));
  }
}

// Each flipped byte is refused, or is another transaction; and what parses is canonical.
TEST(WriteSet, OneFlippedByteChangesTheHash) {
  const Bytes bytes = Build(EveryChange());
  Digest original;
  ASSERT_TRUE(TransactionHash(bytes, &original));
  size_t parsed = 0;
  for (size_t i = 0; i < bytes.size(); i++) {
    for (int bit = 0; bit < 8; bit++) {
      Bytes bad = bytes;
      bad[i] ^= static_cast<uint8_t>(1 << bit);
      Digest hash;
      if (TransactionHash(bad, &hash)) {
        ASSERT_NE(hash, original) << i << " " << bit;
      }
      ASSERT_NE(WriteSetIdentity(bad), WriteSetIdentity(bytes));
      WriteSetView view;
      if (!ParseWriteSet(bad, &view)) continue;
      parsed++;
      WriteSetBuilder again(view.kind);
      for (const ChangeView& change : view.changes) {
        Change decoded;
        ASSERT_TRUE(DecodeChange(change.bytes, &decoded));
        again.Add(change.salt, EncodeChange(decoded));
      }
      ASSERT_EQ(again.Finish(view.header), bad) << i << " " << bit;
    }
  }
  EXPECT_GT(parsed, bytes.size());  // salts and values carry any bits
}

TEST(WriteSet, RandomBytesNeverCrash) {
  Random random(42);
  const Bytes valid = Build(EveryChange());
  for (int i = 0; i < 20'000; i++) {
    Bytes noise = test::RandomBytes(random, random() % 200);
    WriteSetView view;
    Change change;
    Digest hash;
    ASSERT_FALSE(ParseWriteSet(noise, &view));
    DecodeChange(noise, &change);
    if (!noise.empty()) {
      noise[0] = static_cast<uint8_t>("IUDTQSKC"[random() % 8]);
      DecodeChange(noise, &change);
    }
    Bytes damaged = valid;
    for (uint64_t n = 1 + random() % 8; n > 0; n--) damaged[random() % damaged.size()] = static_cast<uint8_t>(random());
    if (ParseWriteSet(damaged, &view)) {
      ASSERT_TRUE(TransactionHash(damaged, &hash));
    }
  }
}

TEST(WriteSet, FlagsAgreeWithTheChanges) {
  struct Case {
    Change change;
    uint32_t flags;
  };
  const Case cases[] = {{Row('I', {}, {Text("1")}), 0},
                        {TruncateChange{false, false, {{"public", "a"}}}, kHasTruncate},
                        {Change(Ddl()), kHasDdl},
                        {SequenceChange{{"public", "s"}, 1}, kHasDdl},
                        {ContractChange{'X', "c", "", "", "", "", "", "", ""}, kHasDdl},
                        {ProposalChange{'A', 7, "", "", "", "", 0}, kHasDdl}};
  for (const Case& c : cases) {
    Bytes bytes = Build({c.change});
    for (uint32_t flags = 0; flags < 16; flags++) {
      SetFlags(&bytes, flags);
      const bool agrees = flags < 8 && (flags & ~kForceReplay) == c.flags;
      ASSERT_EQ(Parses(bytes), agrees) << flags;
    }
  }
}

TEST(WriteSet, LoneDdlIsExactlyOneStatement) {
  EXPECT_TRUE(Parses(Build({Ddl()}, WriteSetKind::kLoneDdl)));
  EXPECT_FALSE(Parses(Build({Ddl(), Ddl()}, WriteSetKind::kLoneDdl)));
  EXPECT_FALSE(Parses(Build({Row('I', {}, {Text("1")})}, WriteSetKind::kLoneDdl)));
  EXPECT_FALSE(Parses(Build({SequenceChange{{"public", "s"}, 1}}, WriteSetKind::kLoneDdl)));
}

TEST(WriteSet, CallsTravelAloneAndCallsOnly) {
  const auto calls = EveryCall();
  const Bytes bytes = Build(calls, WriteSetKind::kCalls);
  WriteSetView view;
  std::string why;
  ASSERT_TRUE(ParseWriteSet(bytes, &view, &why)) << why;
  EXPECT_EQ(view.header.flags, 0u);
  ASSERT_EQ(view.changes.size(), calls.size());
  Change read;
  ASSERT_TRUE(DecodeChange(view.changes[0].bytes, &read));
  const auto& call = std::get<CallChange>(read);
  EXPECT_EQ(call.name, "transfer");
  EXPECT_EQ(call.role, "alice");
  ASSERT_EQ(call.arguments.size(), 3u);
  EXPECT_EQ(call.arguments[0].type, "text");
  EXPECT_EQ(call.arguments[0].value, "a");
  EXPECT_TRUE(call.arguments[1].is_null);
  EXPECT_FALSE(call.arguments[2].is_null);
  EXPECT_FALSE(call.is_signed);
  ASSERT_TRUE(DecodeChange(view.changes[2].bytes, &read));
  const auto& by_key = std::get<CallChange>(read);
  EXPECT_TRUE(by_key.is_signed);
  EXPECT_EQ(by_key.key, SignedCall().key);
  EXPECT_EQ(by_key.nonce, "nonce 1");
  EXPECT_EQ(by_key.signature, SignedCall().signature);
  for (size_t size = 0; size < bytes.size(); size++) ASSERT_FALSE(Parses(ByteView(bytes).first(size))) << size;

  EXPECT_FALSE(Parses(Build(calls)));
  EXPECT_FALSE(Parses(Build({calls[0]}, WriteSetKind::kLoneDdl)));
  EXPECT_FALSE(Parses(Build({calls[0], Row('I', {}, {Text("1")})}, WriteSetKind::kCalls)));
  EXPECT_FALSE(Parses(Build({Ddl()}, WriteSetKind::kCalls)));
  EXPECT_FALSE(Parses(Build({Row('I', {}, {Text("1")}), calls[0]})));
}

TEST(WriteSet, Votes) {
  const ImpasseVote vote{{Height{77}, 3}, true};
  const Bytes bytes = Build({vote}, WriteSetKind::kVote);
  ImpasseVote read;
  ASSERT_TRUE(ParseVote(bytes, &read));
  EXPECT_EQ(read.position, vote.position);
  EXPECT_TRUE(read.can);
  for (size_t size = 0; size < bytes.size(); size++) ASSERT_FALSE(ParseVote(ByteView(bytes).first(size), &read)) << size;
  for (size_t i = 1; i < bytes.size(); i++) {  // whatever is changed, it is no other kind of transaction's, and nothing crashes
    Bytes twisted = bytes;
    twisted[i] ^= 0x04;
    if (ParseVote(twisted, &read)) {
      EXPECT_TRUE(Parses(twisted)) << i;
    }
  }
  Bytes encoded = EncodeChange(vote);
  encoded.back() = 2;  // neither can nor cannot
  Change change;
  EXPECT_FALSE(DecodeChange(encoded, &change));
  EXPECT_FALSE(Parses(Build({vote})));
  EXPECT_FALSE(Parses(Build({Row('I', {}, {Text("1")}), vote})));
  EXPECT_FALSE(Parses(Build({vote, vote}, WriteSetKind::kVote)));
  EXPECT_FALSE(Parses(Build({Ddl()}, WriteSetKind::kVote)));
  EXPECT_FALSE(Parses(Build({vote}, WriteSetKind::kLoneDdl)));
  EXPECT_FALSE(Parses(Build({vote}, WriteSetKind::kCalls)));
  EXPECT_FALSE(ParseVote(Build({Ddl()}, WriteSetKind::kLoneDdl), &read));
  EXPECT_FALSE(ParseVote({}, &read));
}

TEST(WriteSet, CallsThatNobodyMakesAreRefused) {
  const auto decodes = [](const CallChange& call) {
    Change read;
    return DecodeChange(EncodeChange(call), &read);
  };
  CallChange call = SignedCall();
  EXPECT_TRUE(decodes(call));
  call.nonce = "";
  EXPECT_FALSE(decodes(call));
  call = SignedCall();
  const std::string long_nonce(kCallNonceBytesMax + 1, 'x');
  call.nonce = long_nonce;
  EXPECT_FALSE(decodes(call));
  call = SignedCall();
  call.name = "";
  EXPECT_FALSE(decodes(call));
  call = SignedCall();
  call.arguments[0].type = "";
  EXPECT_FALSE(decodes(call));
  call = SignedCall();
  call.arguments[0].value = std::string_view("a\0b", 3);
  EXPECT_FALSE(decodes(call));
  call = SignedCall();
  call.arguments.assign(kCallArgumentsMax, {"int4", true, ""});
  EXPECT_TRUE(decodes(call));
  call.arguments.push_back({"int4", true, ""});
  EXPECT_FALSE(decodes(call));
  Change read;
  Bytes bytes = EncodeChange(CallChange{"c", "", {}, false, {}, "", {}});
  bytes.back() = 2;  // neither signed nor not
  EXPECT_FALSE(DecodeChange(bytes, &read));
  bytes = EncodeChange(CallChange{"c", "", {{"int4", true, ""}}, false, {}, "", {}});
  bytes[bytes.size() - 2] = 'b';
  EXPECT_FALSE(DecodeChange(bytes, &read));
}

// Chain, name, nonce and arguments are signed; nothing of one can be taken for another.
TEST(WriteSet, ASignatureIsOverAllOfACall) {
  Digest chain;
  const CallChange call = SignedCall();
  const Bytes message = CallMessage(chain, call);
  Digest other_chain;
  other_chain.bytes[0] = 1;
  EXPECT_NE(CallMessage(other_chain, call), message);
  CallChange other = call;
  other.name = "releas";
  EXPECT_NE(CallMessage(chain, other), message);
  other = call;
  other.nonce = "nonce 2";
  EXPECT_NE(CallMessage(chain, other), message);
  other = call;
  other.arguments[0].value = "1";
  EXPECT_NE(CallMessage(chain, other), message);
  other = call;
  other.arguments[0].is_null = true;
  EXPECT_NE(CallMessage(chain, other), message);
  other = call;
  other.role = "bob";  // who hands it in does not matter
  EXPECT_EQ(CallMessage(chain, other), message);
}

TEST(WriteSet, RefusesWhatNoHonestOriginMakes) {
  std::string why;
  WriteSetView view;
  EXPECT_FALSE(ParseWriteSet(Build({}), &view, &why));
  EXPECT_EQ(why, "wrong number of changes");

  WriteSetBuilder builder(WriteSetKind::kRows);
  builder.Add(SaltOf(1), EncodeChange(Row('I', {}, {Text("1")})));
  WriteSetHeader header = Header();
  header.schema_base = Prefix{header.base.value + 1};
  EXPECT_FALSE(ParseWriteSet(builder.Finish(header), &view, &why));
  EXPECT_EQ(why, "malformed header");

  const std::string with_nul("a\0b", 3), long_name(kNameBytesMax + 1, 'x');
  RowChange no_name = Row('I', {}, {Text("1")});
  no_name.relation.name = "";
  RowChange nul_name = no_name, too_long = no_name;
  nul_name.relation.name = with_nul;
  too_long.relation.name = long_name;
  DdlChange nul_text = Ddl(), no_text = Ddl();
  nul_text.text = with_nul;
  no_text.text = "";
  const Change bad[] = {Row('I', {}, {Unchanged()}),  // unchanged since what?
                        Row('U', {Unchanged()}, {Text("1")}),
                        Row('U', {Null()}, {Text("1")}),             // a key without a value
                        Row('U', {Text("1")}, {Text("1"), Null()}),  // of another table
                        Row('D', {Null(), Null()}, {}),
                        Row('D', {}, {}),
                        Row('I', {}, {Text(with_nul)}),
                        Row('I', {}, {ColumnValue{'x', {}}}),
                        no_name,
                        nul_name,
                        too_long,
                        nul_text,
                        no_text,
                        TruncateChange{}};
  for (const Change& change : bad) {
    ASSERT_FALSE(ParseWriteSet(Build({change}), &view, &why)) << ToHex(EncodeChange(change));
    EXPECT_EQ(why, "malformed change 1");
  }
}

// A count that promises more than the bytes can hold is refused before memory is taken for it.
TEST(WriteSet, HugeCountsCostNothing) {
  Bytes bytes = Build({Row('I', {}, {Text("1")})});
  const size_t count_at = 6 + (static_cast<size_t>(bytes[4]) << 8 | bytes[5]);
  for (int i = 0; i < 4; i++) bytes[count_at + i] = 0xff;
  EXPECT_FALSE(Parses(bytes));
  Writer tuple;
  tuple.U8('I');
  tuple.Str("public");
  tuple.Str("t");
  tuple.U16(0xffff);
  Change change;
  EXPECT_FALSE(DecodeChange(tuple.bytes(), &change));
}

TEST(WriteSet, MayHoldAsManyColumnsAsPostgres) {
  RowChange wide = Row('I', {}, Tuple(kColumnsMax));
  EXPECT_TRUE(Parses(Build({wide})));
  Writer w;
  w.U8('I');
  w.Str("public");
  w.Str("t");
  w.U16(kColumnsMax + 1);
  for (size_t i = 0; i <= kColumnsMax; i++) w.U8('n');
  Change change;
  EXPECT_FALSE(DecodeChange(w.bytes(), &change));
}

}  // namespace
}  // namespace dadbs::core
