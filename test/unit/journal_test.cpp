/*
 * journal_test.cpp: the journal through crashes, torn and damaged files, failing disks, recycling, and its reader.
 */
#include "dadbs/storage/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "../../src/storage/crc32c.h"
#include "faulty_files.h"

namespace dadbs::storage {
namespace {

using namespace core;
namespace fs = std::filesystem;

std::string MakeDirectory() {
  // In memory if possible: thousands of journals are made.
  fs::path parent = access("/dev/shm", W_OK) == 0 ? fs::path("/dev/shm") : fs::temp_directory_path();
  std::string path = (parent / "dadbs-journal-XXXXXX").string();
  return mkdtemp(path.data());
}

// A chain that nobody signed: enough for what the journal looks at.
class RecordSource {
 public:
  RecordSource() {
    genesis_.cluster_name = "test";
    for (uint16_t i = 1; i <= 4; i++)
      genesis_.members.push_back({NodeId{i}, "m" + std::to_string(i), "localhost:1", {}});
  }
  JournalRecord Genesis() { return GenesisRecord{genesis_.Encode(), NodeId{1}}; }
  JournalRecord Batch(size_t bytes = 100) {
    auto batch = std::make_shared<core::Batch>();
    batch->header.origin = NodeId{1};
    batch->header.incarnation = 1;
    batch->header.first_number = ++number_;
    batch->header.count = 1;
    batch->header.body_bytes = bytes;
    batch->write_sets.push_back(Bytes(bytes, static_cast<uint8_t>(number_)));
    last_ = batch->header;
    return BatchRecord{batch};
  }
  JournalRecord Prepare() {
    VoteMessage vote;
    vote.height = height_.next();
    vote.envelope.signer = NodeId{1};
    return PrepareRecord{vote};
  }
  JournalRecord Committed() {  // a block of the last batch
    auto block = std::make_shared<Block>();
    block->header.height = height_ = height_.next();
    block->header.item_count = 1;
    block->items.push_back(last_);
    Certificate certificate;
    certificate.height = height_;
    certificate.hash = block->header.hash();
    return CommittedRecord{block, certificate};
  }
  JournalRecord Next(size_t bytes = 100) {
    switch (turn_++ % 3) {
      case 0:
        return Batch(bytes);
      case 1:
        return Prepare();
      default:
        return Committed();
    }
  }
  Height height() const { return height_; }

 private:
  core::Genesis genesis_;
  uint64_t number_ = 0;
  Height height_;
  BatchHeader last_;
  int turn_ = 0;
};

struct Opened {
  std::unique_ptr<JournalWriter> writer;
  std::vector<Bytes> records;  // what the replay showed
  std::vector<uint64_t> numbers;
  Error error;
};

Opened OpenJournal(const JournalOptions& options) {
  Opened opened;
  opened.writer = JournalWriter::Open(
      options,
      [&](uint64_t sequence, JournalRecord&& record) {
        opened.records.push_back(EncodeRecord(record));
        opened.numbers.push_back(sequence);
        return std::string();
      },
      &opened.error);
  return opened;
}

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = MakeDirectory();
    options_.directory = root_ + "/journal";
    options_.segment_bytes = 8192;
    options_.segments_kept = 2;
    options_.files = &quick_;
  }
  void TearDown() override { fs::remove_all(root_); }

  Opened MustOpen() {
    Opened opened = OpenJournal(options_);
    EXPECT_TRUE(opened.writer) << opened.error.message;
    return opened;
  }
  void Add(JournalWriter& writer, const JournalRecord& record) {
    Error error;
    ASSERT_TRUE(writer.Append(writer.next_sequence(), record, &error)) << error.message;
    written_.push_back(EncodeRecord(record));
  }
  void MustSync(JournalWriter& writer) {
    Error error;
    ASSERT_TRUE(writer.Sync(&error)) << error.message;
    ASSERT_EQ(writer.durable_sequence() + 1, writer.next_sequence());
  }
  void Fill(JournalWriter& writer, int count, int per_sync, size_t bytes = 100) {
    for (int i = 1; i <= count; i++) {
      Add(writer, written_.empty() ? source_.Genesis() : source_.Next(bytes));
      if (i % per_sync == 0 || i == count) MustSync(writer);
    }
  }
  // The records from `first` on, as a reader sees them up to the limit.
  std::vector<Bytes> ReadAll(JournalPosition limit) {
    Error error;
    std::vector<Bytes> all;
    auto reader = JournalReader::Open(options_.directory, &error);
    EXPECT_TRUE(reader) << error.message;
    JournalRecord record;
    JournalReader::Outcome outcome;
    while ((outcome = reader->Next(limit, &record, &error)) == JournalReader::Outcome::kRecord)
      all.push_back(EncodeRecord(record));
    EXPECT_EQ(outcome, JournalReader::Outcome::kEnd) << error.message;
    if (outcome == JournalReader::Outcome::kEnd && limit.generation > 0) {
      EXPECT_EQ(reader->position(), limit);
    }
    return all;
  }
  std::vector<std::string> Segments() {
    std::vector<std::string> all;
    for (const auto& e : fs::directory_iterator(options_.directory))
      if (e.path().extension() == ".seg") all.push_back(e.path());
    std::sort(all.begin(), all.end());
    return all;
  }
  void Flip(const std::string& path, uint64_t offset) {
    std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(offset));
    char c = static_cast<char>(f.get() ^ 0x10);
    f.seekp(static_cast<std::streamoff>(offset));
    f.put(c);
  }

  std::string root_;
  UnsyncedFiles quick_;
  JournalOptions options_;
  RecordSource source_;
  std::vector<Bytes> written_;
};

TEST(Crc32cTest, KnownValueAndBothWaysAgree) {
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xe3069283u);
  Bytes bytes(1000);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<uint8_t>(i * 131);
  for (size_t n = 0; n < 70; n++) {
    ByteView v = ByteView(bytes).subspan(n, n * 13);
    EXPECT_EQ(Crc32c(v), Crc32cByTable(v));
    EXPECT_EQ(Crc32c(v.subspan(n), Crc32c(v.first(n))), Crc32c(v));
  }
}

TEST_F(JournalTest, RoundTripOverManySegments) {
  Opened a = MustOpen();
  EXPECT_EQ(a.writer->next_sequence(), 1u);
  EXPECT_TRUE(ReadAll(a.writer->durable()).empty());
  Fill(*a.writer, 400, 7);
  EXPECT_GT(Segments().size(), 5u);
  EXPECT_EQ(ReadAll(a.writer->durable()), written_);
  JournalPosition end = a.writer->durable();
  a.writer.reset();
  Opened b = MustOpen();
  EXPECT_EQ(b.records, written_);
  EXPECT_EQ(b.writer->durable(), end);
  EXPECT_EQ(b.writer->next_sequence(), written_.size() + 1);
  for (size_t i = 0; i < b.numbers.size(); i++) ASSERT_EQ(b.numbers[i], i + 1);
  Fill(*b.writer, 50, 1);
  b.writer.reset();
  EXPECT_EQ(MustOpen().records, written_);
}

TEST_F(JournalTest, ALargeRecordGetsItsOwnSegment) {
  Opened a = MustOpen();
  Fill(*a.writer, 3, 1);
  Add(*a.writer, source_.Batch(100'000));
  Add(*a.writer, source_.Prepare());
  MustSync(*a.writer);
  Fill(*a.writer, 3, 1);
  EXPECT_EQ(ReadAll(a.writer->durable()), written_);
  a.writer.reset();
  EXPECT_EQ(MustOpen().records, written_);
}

TEST_F(JournalTest, WrongSequenceChangesNothing) {
  Opened a = MustOpen();
  Error error;
  EXPECT_FALSE(a.writer->Append(2, source_.Genesis(), &error));
  Fill(*a.writer, 3, 1);
  EXPECT_EQ(ReadAll(a.writer->durable()), written_);
}

TEST_F(JournalTest, EveryTruncationOfTheLastSegment) {
  Opened a = MustOpen();
  Fill(*a.writer, 60, 60);
  std::vector<std::string> segments = Segments();
  ASSERT_GT(segments.size(), 1u);
  // A few more, and where each of them ends.
  std::vector<uint64_t> ends;
  while (ends.size() < 6) {
    uint64_t generation = a.writer->durable().generation;
    Fill(*a.writer, 1, 1);
    if (a.writer->durable().generation != generation) ends.clear();
    ends.push_back(a.writer->durable().offset);
  }
  a.writer.reset();
  const std::string last = Segments().back();
  const std::string copy = root_ + "/copy";
  fs::copy(options_.directory, copy, fs::copy_options::recursive);
  for (uint64_t size = 0; size <= ends.back() + 8; size += size < 64 ? 9 : size % 8 == 0 ? 1 : 7) {
    fs::remove_all(options_.directory);
    fs::copy(copy, options_.directory, fs::copy_options::recursive);
    fs::resize_file(last, size);
    Opened b = OpenJournal(options_);
    if (size < 64) {
      ASSERT_FALSE(b.writer);
      EXPECT_NE(b.error.message.find(last), std::string::npos) << b.error.message;
      continue;
    }
    ASSERT_TRUE(b.writer) << size << ": " << b.error.message;
    size_t lost = 0;
    for (uint64_t end : ends) lost += end > size;
    if (size >= ends.front()) {
      ASSERT_EQ(b.records.size(), written_.size() - lost) << size;
    }
    ASSERT_TRUE(std::equal(b.records.begin(), b.records.end(), written_.begin())) << size;
    // What is written next is read after what was left.
    JournalRecord next = PrepareRecord{};
    Error error;
    ASSERT_TRUE(b.writer->Append(b.writer->next_sequence(), next, &error) && b.writer->Sync(&error)) << error.message;
    b.writer.reset();
    Opened c = OpenJournal(options_);
    ASSERT_TRUE(c.writer) << size << ": " << c.error.message;
    ASSERT_EQ(c.records.size(), b.records.size() + 1);
    ASSERT_EQ(c.records.back(), EncodeRecord(next));
  }
}

TEST_F(JournalTest, DamageInFrontOfWhatWasDurableIsAnError) {
  Opened a = MustOpen();
  Fill(*a.writer, 150, 1);
  JournalPosition end = a.writer->durable();
  a.writer.reset();
  std::vector<std::string> segments = Segments();
  for (const std::string& path : {segments.front(), segments[1]}) {
    for (uint64_t offset = 0; offset < 7000; offset += 97) {
      if (offset >= 48 && offset < 64) continue;  // still covered by the checksum; nothing special
      Flip(path, offset);
      Opened b = OpenJournal(options_);
      ASSERT_FALSE(b.writer) << path << " " << offset;
      EXPECT_NE(b.error.message.find(path), std::string::npos) << b.error.message;
      EXPECT_NE(b.error.message.find("at byte"), std::string::npos) << b.error.message;
      Flip(path, offset);
    }
  }
  // In the last segment all but the last sync is known to have been durable.
  ASSERT_GT(end.offset, 1200u);
  for (uint64_t offset = 64; offset < end.offset - 1000; offset += 31) {
    Flip(segments.back(), offset);
    Opened b = OpenJournal(options_);
    ASSERT_FALSE(b.writer) << offset;
    EXPECT_NE(b.error.message.find(segments.back()), std::string::npos) << b.error.message;
    Flip(segments.back(), offset);
  }
  EXPECT_EQ(MustOpen().records, written_);
  Flip(segments.back(), end.offset - 9);
  EXPECT_EQ(MustOpen().records.size(), written_.size() - 1);
}

// The record behind a torn one is intact, has the next sequence and stands at the right place: it must not come back.
TEST_F(JournalTest, WhatStoodBehindATornRecordIsGone) {
  Opened a = MustOpen();
  Fill(*a.writer, 5, 1);
  const uint64_t torn = a.writer->durable().offset;
  auto vote = [](uint64_t height) {
    VoteMessage v;
    v.height = Height{height};
    return JournalRecord(PrepareRecord{v});
  };
  Error error;
  ASSERT_TRUE(a.writer->Append(6, vote(100), &error) && a.writer->Append(7, vote(101), &error));
  MustSync(*a.writer);
  a.writer.reset();
  Flip(Segments().back(), torn + 40);
  Opened b = MustOpen();
  EXPECT_EQ(b.records, written_);
  Add(*b.writer, vote(102));
  MustSync(*b.writer);
  b.writer.reset();
  EXPECT_EQ(MustOpen().records, written_);
}

TEST_F(JournalTest, CutKeepsWhatIsNeededAndRecyclesTheRest) {
  Opened a = MustOpen();
  uint64_t most = 0;
  for (int round = 0; round < 60; round++) {
    Fill(*a.writer, 21, 3);
    a.writer->Cut(source_.height());
    most = std::max<uint64_t>(most, Segments().size());
    // The tails of recycled segments hold older records with sound checksums: a reopen must not see them.
    a.writer.reset();
    a = MustOpen();
    ASSERT_EQ(a.records.back(), written_.back());
    ASSERT_EQ(a.writer->next_sequence(), written_.size() + 1);
    JournalRecord first;
    ASSERT_TRUE(DecodeRecord(a.records.front(), &first));
    ASSERT_EQ(std::holds_alternative<SegmentStateRecord>(first), a.numbers.front() != 1 || round > 5);
  }
  EXPECT_LE(most, 5u);
  EXPECT_LE(a.writer->bytes_on_disk(), 8192u * 6);
  JournalRecord first;
  ASSERT_TRUE(DecodeRecord(a.records.front(), &first));
  const auto& state = std::get<SegmentStateRecord>(first);
  EXPECT_EQ(EncodeRecord(GenesisRecord{state.genesis, state.self}), written_.front());
  EXPECT_GT(state.chain.height, Height{100});
  // Behind the state come exactly the records that follow.
  std::vector<Bytes> tail(written_.begin() + static_cast<ptrdiff_t>(a.numbers.front()), written_.end());
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), a.records.begin() + 1, a.records.end()));
  EXPECT_EQ(ReadAll(a.writer->durable()), a.records);
}

TEST_F(JournalTest, CutStopsAtHeightsAndOpenBatches) {
  Opened a = MustOpen();
  Fill(*a.writer, 200, 10);
  size_t all = Segments().size();
  a.writer->Cut(Height{0});
  EXPECT_EQ(Segments().size(), all);
  Add(*a.writer, source_.Batch(50));  // may still come onto the chain
  JournalRecord later = source_.Committed();
  MustSync(*a.writer);
  const size_t with_batch = Segments().size();
  for (int i = 0; i < 300; i++) {
    Add(*a.writer, PrepareRecord{});
    MustSync(*a.writer);
  }
  a.writer->Cut(Height{1'000'000});
  const size_t held = Segments().size();
  EXPECT_GE(held, Segments().size() - with_batch);
  auto seen = ReadAll(a.writer->durable());
  EXPECT_NE(std::find(seen.begin(), seen.end(), written_[200]), seen.end());
  Add(*a.writer, later);
  MustSync(*a.writer);
  a.writer->Cut(source_.height().prev());
  EXPECT_EQ(Segments().size(), held);
  a.writer->Cut(source_.height());
  EXPECT_LE(Segments().size(), 3u);
}

TEST_F(JournalTest, AReaderTellsACutFromTheEnd) {
  Opened a = MustOpen();
  Fill(*a.writer, 100, 5);
  Error error;
  auto reader = JournalReader::Open(options_.directory, &error);
  JournalRecord record;
  for (int i = 0; i < 3; i++)
    ASSERT_EQ(reader->Next(a.writer->durable(), &record, &error), JournalReader::Outcome::kRecord);
  Fill(*a.writer, 200, 5);
  a.writer->Cut(source_.height());
  Fill(*a.writer, 200, 5);  // recycles
  JournalReader::Outcome outcome;
  while ((outcome = reader->Next(a.writer->durable(), &record, &error)) == JournalReader::Outcome::kRecord) {
  }
  EXPECT_EQ(outcome, JournalReader::Outcome::kCut) << error.message;
  EXPECT_LT(reader->sequence(), 100u);
}

TEST_F(JournalTest, TwoWritersAreRefused) {
  Opened a = MustOpen();
  Opened b = OpenJournal(options_);
  EXPECT_FALSE(b.writer);
  EXPECT_NE(b.error.message.find("another process"), std::string::npos) << b.error.message;
  a.writer.reset();
  MustOpen();
}

TEST_F(JournalTest, WrongPermissionsAreRefused) {
  Opened a = MustOpen();
  Fill(*a.writer, 5, 1);
  a.writer.reset();
  fs::permissions(options_.directory, fs::perms::others_read, fs::perm_options::add);
  Opened b = OpenJournal(options_);
  EXPECT_FALSE(b.writer);
  EXPECT_NE(b.error.message.find("group or world access"), std::string::npos) << b.error.message;
  fs::permissions(options_.directory, fs::perms::owner_all);
  fs::permissions(Segments().front(), fs::perms::group_write, fs::perm_options::add);
  EXPECT_FALSE(OpenJournal(options_).writer);
  fs::permissions(Segments().front(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(MustOpen().records, written_);
}

TEST_F(JournalTest, ContradictionsStopTheReplay) {
  Opened a = MustOpen();
  Fill(*a.writer, 5, 1);
  a.writer.reset();
  Error error;
  auto writer = JournalWriter::Open(
      options_, [](uint64_t sequence, JournalRecord&&) { return std::string(sequence == 3 ? "two votes" : ""); },
      &error);
  EXPECT_FALSE(writer);
  EXPECT_NE(error.message.find("record 3 makes no sense: two votes"), std::string::npos) << error.message;
}

// ---- failing disks ----------------------------------------------------------------------------------------------

class FaultyJournalTest : public JournalTest {
 protected:
  void SetUp() override {
    JournalTest::SetUp();
    options_.files = &files_;
  }
  // A workload with rotations, cuts and recycling. What was acknowledged so far is in durable_.
  void Work(JournalWriter& writer, int rounds) {
    for (int i = 0; i < rounds; i++) {
      for (int k = 0; k < 1 + i % 4; k++) {
        JournalRecord record = written_.empty() ? source_.Genesis() : source_.Next(i % 13 == 12 ? 9000 : 700);
        Error error;
        if (!writer.Append(writer.next_sequence(), record, &error)) return;
        written_.push_back(EncodeRecord(record));
      }
      Error error;
      if (writer.Sync(&error)) durable_ = written_.size();
      if (i % 9 == 8) writer.Cut(Height{source_.height().value > 2 ? source_.height().value - 2 : 0});
    }
  }
  // All that was acknowledged is there, and what is there is what was written.
  void CheckAfterCrash(const std::string& what) {
    Opened b = OpenJournal(options_);
    ASSERT_TRUE(b.writer) << what << ": " << b.error.message;
    ASSERT_GE(b.writer->next_sequence(), durable_ + 1) << what;
    ASSERT_LE(b.writer->next_sequence(), written_.size() + 1) << what;
    if (b.records.empty()) return;
    for (size_t i = 0; i < b.records.size(); i++) {
      JournalRecord record;
      ASSERT_TRUE(DecodeRecord(b.records[i], &record));
      if (std::holds_alternative<SegmentStateRecord>(record)) continue;
      ASSERT_EQ(b.records[i], written_[b.numbers[i] - 1]) << what << " record " << b.numbers[i];
    }
    ASSERT_EQ(b.numbers.back() + 1, b.writer->next_sequence());
  }
  void Reset() {
    fs::remove_all(options_.directory);
    files_ = FaultyFiles();
    source_ = RecordSource();
    written_.clear();
    durable_ = 0;
  }

  FaultyFiles files_;
  size_t durable_ = 0;
};

TEST_F(FaultyJournalTest, ACrashAtEachCallLosesNothingThatWasSynced) {
  {
    Opened a = MustOpen();
    Work(*a.writer, 30);
  }
  const int calls = files_.calls;
  ASSERT_GT(calls, 60);
  for (int at = 1; at <= calls; at++) {
    for (uint32_t seed = 0; seed < 3; seed++) {
      Reset();
      files_.mode = FaultyFiles::Mode::kCrash;
      files_.fail_at = at;
      Opened a = OpenJournal(options_);
      if (a.writer) Work(*a.writer, 30);
      a.writer.reset();
      if (!fs::exists(options_.directory)) continue;
      files_.LosePower(options_.directory, seed * 7919 + static_cast<uint32_t>(at));
      CheckAfterCrash("call " + std::to_string(at) + " seed " + std::to_string(seed));
      if (HasFatalFailure()) return;
      // It goes on from there, and crashes again.
      Opened b = OpenJournal(options_);
      written_.resize(b.writer->next_sequence() - 1);
      durable_ = written_.size();
      if (!written_.empty()) Add(*b.writer, PrepareRecord{}), MustSync(*b.writer), durable_ = written_.size();
      b.writer.reset();
      files_.LosePower(options_.directory, seed);
      CheckAfterCrash("second life after call " + std::to_string(at));
      if (HasFatalFailure()) return;
    }
  }
}

// The process ends in the middle of a write, the machine goes on: every byte that was written stays, up to any point.
TEST_F(FaultyJournalTest, AWriteTornAtAnyLengthLosesNothingThatWasSynced) {
  {
    Opened a = MustOpen();
    Work(*a.writer, 20);
  }
  const int calls = files_.calls;
  const size_t longest = files_.written_bytes_max;
  for (int at = 1; at <= calls; at++) {
    // Inside the first record's header, at its end, in payloads, just before the end of all.
    for (size_t torn : {size_t{1}, size_t{31}, size_t{32}, size_t{33}, size_t{500}, size_t{731}, size_t{1500}, longest / 2, longest}) {
      Reset();
      files_.mode = FaultyFiles::Mode::kCrash;
      files_.fail_at = at;
      files_.torn_bytes = torn;
      Opened a = OpenJournal(options_);
      if (a.writer) Work(*a.writer, 20);
      a.writer.reset();
      files_.mode = FaultyFiles::Mode::kNone;
      if (!fs::exists(options_.directory)) continue;
      CheckAfterCrash("call " + std::to_string(at) + " torn after " + std::to_string(torn));
      if (HasFatalFailure()) return;
      // What is written next stands behind what was left, over the torn rest.
      Opened b = MustOpen();
      written_.resize(b.writer->next_sequence() - 1);
      Add(*b.writer, written_.empty() ? RecordSource().Genesis() : PrepareRecord{});
      MustSync(*b.writer);
      durable_ = written_.size();
      b.writer.reset();
      CheckAfterCrash("second life after call " + std::to_string(at) + " torn after " + std::to_string(torn));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(FaultyJournalTest, AnErrorAtEachCallIsSurvivedAndLosesNothing) {
  {
    Opened a = MustOpen();
    Work(*a.writer, 30);
  }
  const int calls = files_.calls;
  for (int at = 1; at <= calls; at++) {
    Reset();
    files_.mode = FaultyFiles::Mode::kError;
    files_.fail_at = at;
    Opened a = OpenJournal(options_);
    if (!a.writer) continue;  // at the start, an error is an error
    Work(*a.writer, 30);
    MustSync(*a.writer);
    durable_ = written_.size();
    ASSERT_LE(a.writer->bytes_on_disk(), 8192u * 16);
    // The reader sees each record once, across whatever happened.
    std::vector<Bytes> seen = ReadAll(a.writer->durable());
    ASSERT_LE(seen.size(), written_.size() + 1);
    ASSERT_EQ(seen.back(), written_.back()) << at;
    a.writer.reset();
    files_.LosePower(options_.directory, static_cast<uint32_t>(at));
    CheckAfterCrash("error at call " + std::to_string(at));
    if (HasFatalFailure()) return;
  }
}

// The process dies after a failed fsync, the kernel lives on and shows pages that it will never write.
TEST_F(FaultyJournalTest, ThePageCacheIsNotBelievedAfterARestart) {
  Opened a = MustOpen();
  Fill(*a.writer, 10, 2);
  Add(*a.writer, source_.Next());
  files_.mode = FaultyFiles::Mode::kCrash;  // the write still goes through, the sync and all later calls fail
  files_.fail_at = files_.calls + 2;
  Error error;
  ASSERT_FALSE(a.writer->Sync(&error));
  a.writer.reset();
  files_.mode = FaultyFiles::Mode::kNone;
  Opened b = MustOpen();
  ASSERT_EQ(b.records, written_);  // it believes the record from now on ...
  b.writer.reset();
  durable_ = written_.size();
  files_.LosePower(options_.directory, 1);
  CheckAfterCrash("power failure");  // ... so it must be durable
}

TEST_F(FaultyJournalTest, AFullDiskIsAnErrorAndPasses) {
  Opened a = MustOpen();
  Fill(*a.writer, 10, 1);
  files_.error_number = ENOSPC;
  for (int i = 0; i < 100; i++) Add(*a.writer, source_.Next(200));
  files_.mode = FaultyFiles::Mode::kCrash;
  files_.fail_at = files_.calls + 3;  // the segment that is there takes its part, no other can be made
  Error error;
  for (int i = 0; i < 5; i++) {
    EXPECT_FALSE(a.writer->Sync(&error));
    EXPECT_EQ(error.error_number, ENOSPC);
    EXPECT_NE(error.message.find("No space left"), std::string::npos) << error.message;
    EXPECT_GT(a.writer->buffered_bytes(), 0u);
    Add(*a.writer, source_.Next(200));
  }
  const uint64_t known = a.writer->durable_sequence();
  EXPECT_LT(known, written_.size());
  files_.mode = FaultyFiles::Mode::kNone;
  MustSync(*a.writer);
  EXPECT_EQ(a.writer->buffered_bytes(), 0u);
  EXPECT_EQ(ReadAll(a.writer->durable()), written_);
  a.writer.reset();
  EXPECT_EQ(MustOpen().records, written_);
}

// ---- another process --------------------------------------------------------------------------------------------

TEST_F(JournalTest, AReaderFollowsAWriterInAnotherProcess) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  constexpr int kRecords = 1000;
  options_.files = nullptr;
  pid_t child = fork();
  if (child == 0) {
    Opened a = OpenJournal(options_);
    Error error;
    for (int i = 0; i < kRecords; i++) {
      JournalRecord record = i == 0 ? source_.Genesis() : source_.Next(static_cast<size_t>(i % 700));
      if (!a.writer->Append(a.writer->next_sequence(), record, &error)) _exit(1);
      if (i % 5 != 0 && i + 1 < kRecords) continue;
      if (!a.writer->Sync(&error)) _exit(2);
      JournalPosition durable = a.writer->durable();
      if (write(pipe_fds[1], &durable, sizeof(durable)) != sizeof(durable)) _exit(3);
    }
    _exit(0);
  }
  close(pipe_fds[1]);
  JournalPosition limit;
  std::unique_ptr<JournalReader> reader;
  int seen = 0;
  Error error;
  while (read(pipe_fds[0], &limit, sizeof(limit)) == sizeof(limit)) {
    if (!reader) reader = JournalReader::Open(options_.directory, &error);
    ASSERT_TRUE(reader) << error.message;
    JournalRecord record;
    JournalReader::Outcome outcome;
    while ((outcome = reader->Next(limit, &record, &error)) == JournalReader::Outcome::kRecord) {
      JournalRecord expected = seen == 0 ? source_.Genesis() : source_.Next(static_cast<size_t>(seen % 700));
      ASSERT_EQ(EncodeRecord(record), EncodeRecord(expected));
      ASSERT_EQ(reader->sequence(), static_cast<uint64_t>(++seen));
    }
    ASSERT_EQ(outcome, JournalReader::Outcome::kEnd) << error.message;
    ASSERT_EQ(reader->position(), limit);
  }
  close(pipe_fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(seen, kRecords);
}

}  // namespace
}  // namespace dadbs::storage
