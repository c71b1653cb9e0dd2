/*
 * chain_format_example_test: the worked example of docs/chain-format.md, made from fixed inputs.
 *
 * The example's text stands in the document between two markers, its export in data/chain_example.json: both must be
 * what this test makes. Each structure is laid out here field by field, as the document says, and compared with what
 * the code encodes. DADBS_UPDATE_EXAMPLE=1 writes both anew, after a deliberate change of the format.
 *
 * verify_chain.py, written from the document alone, must find the example and a larger chain sound, and every damaged
 * byte of the example.
 */
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "chain_fixture.h"
#include "dadbs/core/chain.h"
#include "dadbs/core/merkle.h"
#include "dadbs/core/write_set.h"

namespace dadbs::core {
namespace {

namespace fs = std::filesystem;
using test::TestBlock;
using test::TestCluster;

const fs::path kTestDirectory = fs::path(DADBS_SOURCE_DIR) / "test" / "unit";
const fs::path kDocument = kTestDirectory / "../../docs/chain-format.md";
const fs::path kExport = kTestDirectory / "data/chain_example.json";
constexpr char kBegin[] = "<!-- example: begin -->\n";
constexpr char kEnd[] = "<!-- example: end -->\n";

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

bool IsUpdate() { return std::getenv("DADBS_UPDATE_EXAMPLE") != nullptr; }

void WriteFile(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// ---- text ----------------------------------------------------------------------------------------------------------

constexpr size_t kHexPerLine = 32;

// One line per field: offset, name, bytes. Collects the bytes, for comparison with what the code encodes.
class Layout {
 public:
  template <class Put>
  Layout& Field(const char* name, Put put) {
    Writer w;
    put(w);
    const ByteView bytes = w.bytes();
    for (size_t at = 0; at < std::max<size_t>(bytes.size(), 1); at += kHexPerLine) {
      char line[160];
      const std::string hex = ToHex(bytes.subspan(at, std::min(kHexPerLine, bytes.size() - at)));
      if (at == 0)
        std::snprintf(line, sizeof(line), "%5zu  %-24s %s\n", all_.size(), name, hex.c_str());
      else
        std::snprintf(line, sizeof(line), "%32s%s\n", "", hex.c_str());
      text_ += line;
    }
    all_.Raw(bytes);
    return *this;
  }
  Layout& U8(const char* name, uint8_t v) {
    return Field(name, [=](Writer& w) { w.U8(v); });
  }
  Layout& U16(const char* name, uint16_t v) {
    return Field(name, [=](Writer& w) { w.U16(v); });
  }
  Layout& U32(const char* name, uint32_t v) {
    return Field(name, [=](Writer& w) { w.U32(v); });
  }
  Layout& U64(const char* name, uint64_t v) {
    return Field(name, [=](Writer& w) { w.U64(v); });
  }
  Layout& Str(const char* name, std::string_view v) {
    return Field(name, [=](Writer& w) { w.Str(v); });
  }
  Layout& Blob(const char* name, ByteView v) {
    return Field(name, [=](Writer& w) { w.Blob(v); });
  }
  Layout& Raw(const char* name, ByteView v) {
    return Field(name, [=](Writer& w) { w.Raw(v); });
  }
  const std::string& text() const { return text_; }
  const Bytes& bytes() const { return all_.bytes(); }

 private:
  std::string text_;
  Writer all_;
};

class Example {
 public:
  void Title(const std::string& title) { text_ += "### " + title + "\n\n"; }
  void Say(const std::string& text) { text_ += text + "\n\n"; }
  // The layout, which must be what the code encodes.
  void Show(const Layout& layout, const Bytes& encoded) {
    EXPECT_EQ(ToHex(layout.bytes()), ToHex(encoded));
    text_ += "```\n" + layout.text() + "```\n\n";
  }
  void Values(const std::vector<std::pair<const char*, ByteView>>& values) {
    Layout layout;
    text_ += "```\n";
    for (const auto& [name, bytes] : values) {
      Layout one;
      one.Raw(name, bytes);
      text_ += one.text().substr(5 + 2);  // without the offset
    }
    text_ += "```\n\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// ---- the example's chain -------------------------------------------------------------------------------------------

Bytes Counting(uint8_t from, size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; i++) bytes[i] = static_cast<uint8_t>(from + i);
  return bytes;
}

template <class Fixed>
Fixed CountingFixed(uint8_t from) {
  Fixed f;
  const Bytes bytes = Counting(from, Fixed::kSize);
  std::copy(bytes.begin(), bytes.end(), f.bytes.begin());
  return f;
}

struct ExampleChain {
  ExampleChain() : cluster(1) {
    cluster.signers[0] = MakeEd25519Signer(Counting(0, 32));
    Genesis& g = cluster.genesis;
    g.nonce = CountingFixed<Nonce>(0x10);
    g.created_at_us = 1'700'000'000'000'000;
    g.cluster_name = "example";
    g.members[0] = {NodeId{1}, "alpha", "alpha.example:7432", cluster.signers[0]->public_key()};
    g.environment = {{"encoding", "UTF8"}};
    MakeFirst();
    MakeSecond();
  }

  void MakeFirst() {
    entry.origin = NodeId{1};
    entry.incarnation = 1;
    entry.journal_sequence = 2;
    entry.nonce = CountingFixed<Nonce>(0x20);
    entry.recent_hash = cluster.genesis.chain_id();
    entry.signature = cluster.signer(NodeId{1}).Sign(entry.SigningBytes(cluster.context()));
    first = cluster.MakeBlock(nullptr, {entry}, {});
  }

  void MakeSecond() {
    RowChange insert, update;
    insert.relation = update.relation = {"public", "account"};
    insert.row = {test::Binary(one), test::Text("ann"), test::Null()};
    update.op = 'U';
    update.row = {test::Binary(one), test::Unchanged(), test::Text("12.50")};
    changes = {EncodeChange(insert), EncodeChange(update)};
    WriteSetBuilder builder(WriteSetKind::kRows);
    builder.Add(CountingFixed<Salt>(0xa0), changes[0]);
    builder.Add(CountingFixed<Salt>(0xb0), changes[1]);
    header.base = header.schema_base = PrefixWholeBlock(Height{1});
    header.origin_xid = 742;
    header.begun_at_us = 1'700'000'001'500'000;
    header.user = "ann";
    header.application_name = "psql";
    write_set = builder.Finish(header);
    second = cluster.MakeBlock(&first, {}, {cluster.MakeBatch(NodeId{1}, 1, {write_set})});
  }

  TestCluster cluster;
  const Bytes one = {0, 0, 0, 1};  // int4 1 as int4send gives it
  IncarnationEntry entry;
  std::vector<Bytes> changes;
  WriteSetHeader header;
  Bytes write_set;
  TestBlock first, second;
};

void DescribeGenesis(const ExampleChain& c, Example* out) {
  const Genesis& g = c.cluster.genesis;
  out->Title("Genesis");
  out->Say("One member, so f = 0 and q = 1. Its seed is 00 01 .. 1f.");
  Layout l;
  l.U16("format", 1).Raw("nonce", g.nonce.view()).U64("created at", 1'700'000'000'000'000);
  l.Str("cluster name", "example")
      .U16("members", 1)
      .U16("id", 1)
      .Str("name", "alpha")
      .Str("address", "alpha.example:7432");
  l.Raw("public key", g.members[0].key.view()).U16("schemas", 0).U32("sequence stride", 1).U16("environment", 1);
  l.Str("name", "encoding").Str("value", "UTF8");
  out->Show(l, g.Encode());
  out->Values({{"chain id", g.chain_id().view()}});
}

void DescribeHeader(const BlockHeader& h, Example* out) {
  Layout l;
  l.U16("format", 1).Raw("chain id", h.chain_id.view()).U64("epoch", 1).U64("height", h.height.value);
  l.Raw("previous hash", h.previous_hash.view()).U64("time", static_cast<uint64_t>(h.time_us)).U16("proposer", 1);
  l.U32("items", h.item_count).U32("transactions", h.transaction_count).U64("body bytes", h.body_bytes);
  l.Raw("items root", h.items_root.view()).Raw("transactions root", h.transactions_root.view());
  out->Say("Header of block " + std::to_string(h.height.value) + ":");
  out->Show(l, h.Encode());
  out->Values({{"block hash", h.hash().view()}});
}

void DescribeCertificate(const ExampleChain& c, const TestBlock& b, Example* out) {
  const Signed& vote = b.certificate.votes[0];
  const BlockHeader& h = b.block.header;
  Layout message;
  message.U8("domain", 0x45).Raw("chain id", h.chain_id.view()).U64("epoch", 1).U16("signer", 1);
  message.U64("incarnation", vote.incarnation).U64("journal sequence", vote.journal_sequence).U64("view", 0);
  message.U64("height", h.height.value).Raw("block hash", b.certificate.hash.view());
  out->Say("What member 1 signs to COMMIT block " + std::to_string(h.height.value) + ":");
  out->Show(message, VoteSigningBytes(c.cluster.context(), Phase::kCommit, NodeId{1}, vote.incarnation,
                                      vote.journal_sequence, View{0}, h.height, h.hash()));
  Layout l;
  l.U8("phase", 3).U64("epoch", 1).U64("view", 0).U64("height", h.height.value).Raw("block hash", h.hash().view());
  l.U16("votes", 1)
      .U16("signer", 1)
      .U64("incarnation", vote.incarnation)
      .U64("journal sequence", vote.journal_sequence);
  l.Raw("signature", vote.signature.view());
  out->Say("Its certificate:");
  out->Show(l, b.certificate.Encode());
}

void DescribeFirst(const ExampleChain& c, Example* out) {
  const IncarnationEntry& e = c.entry;
  out->Title("Block 1: incarnation 1 of member 1 begins");
  Layout message;
  message.U8("domain", 0x42).Raw("chain id", c.cluster.genesis.chain_id().view()).U64("epoch", 1).U16("origin", 1);
  message.U64("incarnation", 1).U64("journal sequence", 2).Raw("nonce", e.nonce.view()).U64("recent height", 0);
  message.Raw("recent hash", e.recent_hash.view());
  out->Say("What it signs:");
  out->Show(message, e.SigningBytes(c.cluster.context()));
  Layout item;
  item.U8("kind", 2).U16("origin", 1).U64("incarnation", 1).U64("journal sequence", 2).Raw("nonce", e.nonce.view());
  item.U64("recent height", 0).Raw("recent hash", e.recent_hash.view()).Raw("signature", e.signature.view());
  Writer encoded;
  EncodeItem(encoded, e);
  out->Say("The item:");
  out->Show(item, encoded.bytes());
  out->Values({{"item leaf", ItemLeaf(e).view()}});
  out->Say("One leaf is the root itself. Without transactions the transactions root is H(02).");
  DescribeHeader(c.first.block.header, out);
  DescribeCertificate(c, c.first, out);
}

void DescribeWriteSet(const ExampleChain& c, Example* out) {
  out->Title("A write set");
  out->Say(
      "INSERT INTO public.account (id, owner, balance) VALUES (1, 'ann', NULL), then UPDATE public.account SET "
      "balance = 12.50\nWHERE id = 1, in which `owner` is an unchanged TOAST value.");
  Layout insert;
  insert.Raw("op", AsBytes("I"))
      .Str("schema", "public")
      .Str("relation", "account")
      .U16("columns", 3)
      .Raw("tag", AsBytes("b"));
  insert.Blob("value", c.one).Raw("tag", AsBytes("t")).Str("value", "ann").Raw("tag", AsBytes("n"));
  out->Say("Change 1:");
  out->Show(insert, c.changes[0]);
  Layout update;
  update.Raw("op", AsBytes("U"))
      .Str("schema", "public")
      .Str("relation", "account")
      .U8("has old key", 0)
      .U16("columns", 3);
  update.Raw("tag", AsBytes("b"))
      .Blob("value", c.one)
      .Raw("tag", AsBytes("u"))
      .Raw("tag", AsBytes("t"))
      .Str("value", "12.50");
  out->Say("Change 2:");
  out->Show(update, c.changes[1]);
  Layout header;
  header.U64("base", c.header.base.value).U64("schema base", c.header.schema_base.value).U64("origin's xid", 742);
  header.U64("begun at", 1'700'000'001'500'000).Str("user", "ann").Str("application name", "psql").U32("flags", 0);
  WriteSetView view;
  ASSERT_TRUE(ParseWriteSet(c.write_set, &view));
  out->Say("Header (base: the whole of block 1):");
  out->Show(header, {view.header_bytes.begin(), view.header_bytes.end()});
  Layout whole;
  whole.U8("format", 1).U8("kind", 1).Blob("header", header.bytes()).U32("changes", 2);
  whole.Raw("salt", view.changes[0].salt.view()).Blob("change 1", c.changes[0]);
  whole.Raw("salt", view.changes[1].salt.view()).Blob("change 2", c.changes[1]);
  out->Say("The write set:");
  out->Show(whole, c.write_set);
  const auto leaves = TransactionLeaves(view);
  const Digest pair = Hash(Domain::kMerkleNode, {leaves[0].view(), leaves[1].view()});
  const Digest hash = Hash(Domain::kMerkleNode, {pair.view(), leaves[2].view()});
  EXPECT_EQ(hash, c.second.transaction_hashes[0]);
  out->Say(
      "Leaf 0 = H(04, 01 01, header), leaf i = H(03, salt, change i); node = H(01, leaf 0, leaf 1); "
      "hash = H(01, node, leaf 2):");
  out->Values({{"leaf 0", leaves[0].view()},
               {"leaf 1", leaves[1].view()},
               {"leaf 2", leaves[2].view()},
               {"node", pair.view()},
               {"transaction hash", hash.view()}});
}

void DescribeSecond(const ExampleChain& c, Example* out) {
  const BatchHeader& b = c.second.batches[0].header;
  out->Title("Block 2: transaction 1.1.1");
  Layout message;
  message.U8("domain", 0x41).Raw("chain id", c.cluster.genesis.chain_id().view()).U64("epoch", 1).U16("origin", 1);
  message.U64("incarnation", 1)
      .U64("journal sequence", b.journal_sequence)
      .U64("first number", 1)
      .U32("transactions", 1);
  message.U64("body bytes", b.body_bytes).Raw("transaction root", b.transaction_root.view());
  out->Say(
      "Its batch holds one transaction, so the batch's transaction root is H(05, transaction hash). What the origin "
      "signs:");
  out->Show(message, b.SigningBytes(c.cluster.context()));
  Layout item;
  item.U8("kind", 1)
      .U16("origin", 1)
      .U64("incarnation", 1)
      .U64("journal sequence", b.journal_sequence)
      .U64("first number", 1);
  item.U32("transactions", 1).U64("body bytes", b.body_bytes).Raw("transaction root", b.transaction_root.view());
  item.Raw("signature", b.signature.view());
  Writer encoded;
  EncodeItem(encoded, b);
  out->Say("The item:");
  out->Show(item, encoded.bytes());
  out->Values({{"batch digest", b.digest().view()}, {"item leaf", ItemLeaf(b).view()}});
  DescribeHeader(c.second.block.header, out);
  DescribeCertificate(c, c.second, out);
  Layout body;
  body.Blob("header", c.second.block.header.Encode()).U32("items", 1).Raw("item", encoded.bytes());
  out->Say("The block as it is stored and exported:");
  out->Show(body, c.second.block.Encode());
  Layout batch;
  batch.U32("transactions", 1).Blob("write set", c.write_set);
  out->Say("The batch as it is stored and exported:");
  out->Show(batch, EncodeBatchBody(c.second.batches[0].write_sets));
}

std::string ExportJson(const Genesis& genesis, const std::vector<const TestBlock*>& blocks) {
  std::string json = "{\"genesis\": \"" + ToHex(genesis.Encode()) + "\",\n \"blocks\": [";
  for (const TestBlock* b : blocks) {
    json += b == blocks[0] ? "\n" : ",\n";
    json += "  {\"body\": \"" + ToHex(b->block.Encode()) + "\",\n   \"certificate\": \"" +
            ToHex(b->certificate.Encode()) + "\",\n   \"batches\": [";
    for (size_t i = 0; i < b->batches.size(); i++)
      json += (i == 0 ? "\"" : ", \"") + ToHex(EncodeBatchBody(b->batches[i].write_sets)) + "\"";
    json += "]}";
  }
  return json + "\n ]}\n";
}

bool HavePython() { return std::system("python3 -c '' 2>/dev/null") == 0; }

// The exit status of verify_chain.py.
int RunVerifier(const fs::path& file, const std::string& options) {
  const std::string command = "python3 -B '" + (kTestDirectory / "verify_chain.py").string() + "' '" + file.string() +
                              "' " + options + " >/dev/null 2>&1";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// ---- tests ---------------------------------------------------------------------------------------------------------

TEST(ChainFormatExample, IsSoundAndStandsInTheDocument) {
  const ExampleChain c;
  EXPECT_EQ(CheckBlock(c.first.block, nullptr, c.cluster.genesis.chain_id(), c.first.certificate, {}, c.cluster.genesis,
                       Ed25519Verifier()),
            "");
  EXPECT_EQ(CheckBlock(c.second.block, &c.first.block.header, c.first.block.header.hash(), c.second.certificate,
                       c.second.transaction_hashes, c.cluster.genesis, Ed25519Verifier()),
            "");
  Example example;
  DescribeGenesis(c, &example);
  DescribeFirst(c, &example);
  DescribeWriteSet(c, &example);
  DescribeSecond(c, &example);

  std::string document = ReadFile(kDocument);
  const size_t begin = document.find(kBegin), end = document.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t from = begin + sizeof(kBegin) - 1;
  if (IsUpdate()) WriteFile(kDocument, document.replace(from, end - from, "\n" + example.text()));
  EXPECT_TRUE(IsUpdate() || document.substr(from, end - from) == "\n" + example.text())
      << "docs/chain-format.md does not hold the example: if the format was changed on purpose, write it anew with "
         "DADBS_UPDATE_EXAMPLE=1";
}

TEST(ChainFormatExample, ExportIsTheOneInTheTree) {
  const ExampleChain c;
  const std::string json = ExportJson(c.cluster.genesis, {&c.first, &c.second});
  if (IsUpdate()) WriteFile(kExport, json);
  EXPECT_EQ(ReadFile(kExport), json);
}

TEST(ChainFormatExample, IndependentVerifierFindsItSoundAndEveryDamage) {
  if (!HavePython()) GTEST_SKIP() << "no python3";
  const std::string chain_id = ToHex(ExampleChain().cluster.genesis.chain_id().view());
  EXPECT_EQ(RunVerifier(kExport, "--list --chain-id " + chain_id), 0);
  EXPECT_EQ(RunVerifier(kExport, "--chain-id " + std::string(64, '0')), 1);
  EXPECT_EQ(RunVerifier(kExport, "--damage"), 0);
  EXPECT_EQ(RunVerifier(kExport, "--slow --damage 151"), 0);
}

// Four members, several batches in a block, restarts, all kinds of changes.
std::vector<TestBlock> LongerChain(const TestCluster& c) {
  DdlChange ddl;
  ddl.text = "CREATE TABLE t (id int PRIMARY KEY)";
  ddl.settings = {{"DateStyle", "ISO"}};
  ddl.superusers = {"postgres"};
  WriteSetBuilder statement(WriteSetKind::kLoneDdl), rows(WriteSetKind::kRows);
  statement.Add(test::Filled<Salt>(1), EncodeChange(ddl));
  RowChange removal;
  removal.op = 'D';
  removal.relation = {"public", "t"};
  removal.has_old_key = true;
  removal.old_key = {test::Text("1")};
  for (const Change& change : {Change(removal), Change(TruncateChange{true, true, {{"public", "t"}}}), Change(ddl),
                               Change(SequenceChange{{"public", "s"}, 9})})
    rows.Add(test::Filled<Salt>(2), EncodeChange(change));
  std::vector<IncarnationEntry> entries;
  for (const Member& m : c.genesis.members) entries.push_back(c.MakeIncarnation(m.id));
  std::vector<TestBlock> chain = {c.MakeBlock(nullptr, entries, {})};
  chain.push_back(c.MakeBlock(&chain.back(), {},
                              {c.MakeBatch(NodeId{2}, 1, {statement.Finish({}), rows.Finish({})}),
                               c.MakeBatch(NodeId{4}, 1, {test::InsertWriteSet("x")})}));
  for (uint64_t i = 0; i < 10; i++) {
    std::vector<Bytes> sets;
    for (uint64_t k = 0; k <= i; k++) sets.push_back(test::InsertWriteSet(std::to_string(k)));
    const uint64_t first = 1 + i * (i + 1) / 2;
    chain.push_back(
        c.MakeBlock(&chain.back(), {}, {c.MakeBatch(NodeId{1}, first, sets), c.MakeBatch(NodeId{3}, first, sets)}));
  }
  chain.push_back(c.MakeBlock(&chain.back(), {c.MakeIncarnation(NodeId{2}, 2)}, {}));
  return chain;
}

TEST(ChainFormatExample, IndependentVerifierAgreesOnALongerChain) {
  if (!HavePython()) GTEST_SKIP() << "no python3";
  const TestCluster c(4);
  std::vector<TestBlock> chain = LongerChain(c);
  const fs::path file = fs::temp_directory_path() / ("dadbs_chain_" + std::to_string(getpid()) + ".json");
  const auto run = [&](size_t from, const std::string& options) {
    std::vector<const TestBlock*> blocks;
    for (size_t i = from; i < chain.size(); i++) blocks.push_back(&chain[i]);
    WriteFile(file, ExportJson(c.genesis, blocks));
    return RunVerifier(file, options);
  };
  EXPECT_EQ(run(0, "--list"), 0);
  EXPECT_EQ(run(0, "--damage 211"), 0);
  EXPECT_EQ(run(5, "--after 5:" + ToHex(chain[4].block.header.hash().view())), 0);
  EXPECT_EQ(run(5, "--after 5:" + ToHex(chain[3].block.header.hash().view())), 1);
  EXPECT_EQ(run(5, ""), 1);

  const TestBlock sound = chain.back();
  chain.back().certificate.votes.resize(2);
  EXPECT_EQ(run(0, ""), 1);  // no quorum
  chain.back() = sound;
  chain.back().certificate = c.Certify(sound.certificate.height, sound.certificate.hash, 3, Phase::kPrepare);
  EXPECT_EQ(run(0, ""), 1);  // votes of another phase
  const TestBlock& parent = chain[chain.size() - 2];
  chain.back() = c.MakeBlock(&parent, {}, {c.MakeBatch(NodeId{1}, 57, {test::InsertWriteSet("gap")})});
  EXPECT_EQ(run(0, ""), 1);  // certified, but a number is left out
  chain.back() = c.MakeBlock(&parent, {c.MakeIncarnation(NodeId{2}, 1)}, {});
  EXPECT_EQ(run(0, ""), 1);  // an incarnation again
  fs::remove(file);
}

}  // namespace
}  // namespace dadbs::core
