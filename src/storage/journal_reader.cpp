/*
 * journal_reader.cpp: follows the writer from another process.
 *
 * No lock: it reads only what lies in front of the limit that the writer has published, and that is never written again
 * in another form. Where a segment's records end is known from the next one's first sequence, once the limit is in a
 * later segment. The writer may cut and recycle a segment under an open descriptor: then its records stop verifying,
 * and the header or the directory says that it is gone.
 */
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "segment.h"

namespace dadbs::storage {

using namespace core;

namespace {

class FollowingReader final : public JournalReader {
 public:
  explicit FollowingReader(const std::string& directory)
      : directory_(directory), file_(FileOperations::System()), next_(FileOperations::System()) {}

  Outcome Next(JournalPosition limit, JournalRecord* out, Error* error) override;
  uint64_t sequence() const override { return sequence_; }
  JournalPosition position() const override { return position_; }

 private:
  enum class Step { kReady, kEnd, kCut, kError };
  // Opens the first segment above `generation`, up to the one of the limit, into `file`.
  Step OpenAfter(uint64_t generation, JournalPosition limit, SegmentFile* file, Error* error);
  Step Enter(Error* error);
  // Makes file_ and offset such that a record is to be read there.
  Step Advance(JournalPosition limit, Error* error);
  Outcome Failed(Error* error);

  std::string directory_;
  SegmentFile file_;
  SegmentFile next_;  // the segment that follows, if open: says where file_ ends
  JournalPosition position_;
  uint32_t previous_ = 0;
  uint64_t sequence_ = 0;
  bool read_any_ = false;
};

FollowingReader::Step FollowingReader::OpenAfter(uint64_t generation, JournalPosition limit, SegmentFile* file,
                                                 Error* error) {
  constexpr int kTries = 16;  // each fails only if the writer cuts a segment in between
  for (int i = 0; i < kTries; i++) {
    DirectoryListing listing;
    if (!ListDirectory(directory_, &listing, error)) return Step::kError;
    auto found = std::upper_bound(listing.generations.begin(), listing.generations.end(), generation);
    if (found == listing.generations.end() || *found > limit.generation) return Step::kEnd;
    if (file->Open(directory_, *found, O_RDONLY, error)) return Step::kReady;
    if (error->error_number != 0 && error->error_number != ENOENT) return Step::kError;
    if (error->error_number == 0 && access((directory_ + "/" + SegmentName(*found)).c_str(), F_OK) == 0)
      return Step::kError;
  }
  return Step::kError;
}

FollowingReader::Step FollowingReader::Enter(Error* error) {
  const SegmentHeader& header = file_.header();
  if (read_any_ && header.first_sequence != sequence_ + 1) {
    if (header.first_sequence > sequence_ + 1) return Step::kCut;
    *error = {"journal segment " + At(file_.path(), 0) + " does not go on where the segment before ends"};
    return Step::kError;
  }
  if (!read_any_) sequence_ = header.first_sequence - 1;
  position_ = {header.generation, kSegmentHeaderBytes};
  previous_ = header.checksum;
  return Step::kReady;
}

FollowingReader::Step FollowingReader::Advance(JournalPosition limit, Error* error) {
  if (!file_.is_open()) {
    Step step = OpenAfter(0, limit, &file_, error);
    if (step == Step::kReady) step = Enter(error);
    if (step != Step::kReady) return step;
  }
  for (;;) {
    if (limit.generation <= position_.generation) return limit > position_ ? Step::kReady : Step::kEnd;
    if (!next_.is_open()) {
      Step step = OpenAfter(position_.generation, limit, &next_, error);
      if (step == Step::kEnd) {
        *error = {"the journal's segment after \"" + file_.path() + "\" is missing"};
        return Step::kError;
      }
      if (step != Step::kReady) return step;
    }
    if (sequence_ + 1 < next_.header().first_sequence) return Step::kReady;  // file_ has more, or is gone
    uint64_t generation = next_.header().generation;
    next_.Close();
    if (!file_.Open(directory_, generation, O_RDONLY, error))
      return error->error_number == ENOENT ? Step::kCut : Step::kError;
    Step step = Enter(error);
    if (step != Step::kReady) return step;
  }
}

JournalReader::Outcome FollowingReader::Failed(Error* error) {
  if (!file_.StillThis()) return Outcome::kCut;
  *error = {"journal segment " + At(file_.path(), position_.offset) +
            " is damaged: a record is missing or its checksum is wrong"};
  return Outcome::kError;
}

JournalReader::Outcome FollowingReader::Next(JournalPosition limit, JournalRecord* out, Error* error) {
  for (;;) {
    Step step = Advance(limit, error);
    if (step == Step::kEnd) return Outcome::kEnd;
    if (step == Step::kCut) return Outcome::kCut;
    if (step == Step::kError) return Outcome::kError;
    RecordHeader header;
    ByteView payload;
    uint64_t end = limit.generation == position_.generation ? limit.offset : UINT64_MAX;
    auto outcome = file_.ReadRecord(position_.offset, end, previous_, &header, &payload, error);
    if (outcome == SegmentFile::Outcome::kError) return Outcome::kError;
    bool is_state = (header.flags & kStateAtHead) != 0;
    if (outcome == SegmentFile::Outcome::kInvalid || header.sequence != sequence_ + (is_state ? 0 : 1))
      return Failed(error);
    const bool show = !is_state || !read_any_;
    if (show && !DecodeRecord(payload, out)) {
      *error = {"journal segment " + At(file_.path(), position_.offset) + ": a record can't be decoded"};
      return Outcome::kError;
    }
    position_.offset += RecordBytes(header.payload_bytes);
    previous_ = header.checksum;
    sequence_ = header.sequence;
    read_any_ = true;
    if (show) return Outcome::kRecord;
  }
}

}  // namespace

std::unique_ptr<JournalReader> JournalReader::Open(const std::string& directory, Error* error) {
  DirectoryListing listing;
  if (!ListDirectory(directory, &listing, error)) return nullptr;
  return std::make_unique<FollowingReader>(directory);
}

}  // namespace dadbs::storage
