/*
 * journal_writer.cpp: replay at the start, appending, rotation, recovery from failed writes, cutting.
 *
 * Process role: the consensus worker, one thread. State owned: the directory (an flock on <dir>/lock) and the segment
 * being written. Append only plans: it decides in which segment a record stands, at which offset, behind what. Sync
 * carries the plan out: per segment one pwritev (or few) and one fdatasync. What it has made durable leaves memory.
 *
 * A new segment is made under another name, allocated, given its header, synced and then renamed, and the directory is
 * synced: a file that is called *.seg has a durable header. What a crash leaves under other names is removed.
 *
 * When a write or fsync of a segment fails, nothing more is ever written to it: what was not durable is planned anew,
 * into a new segment. That begins with the first sequence that was not durable; so what the failed segment may hold
 * from there on doesn't count. When no segment can be made (disk full), the plan stands until there is room.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>

#include "dadbs/storage/file_operations.h"
#include "journal_fold.h"
#include "segment.h"

namespace dadbs::storage {

using namespace core;

namespace {

constexpr uint64_t kSegmentBytesMin = 4096;
constexpr int kPartsPerWrite = 510;  // three per record, below IOV_MAX
constexpr char kSpareName[] = "spare";
constexpr char kNewName[] = "new";
constexpr char kLockName[] = "lock";

struct Segment {
  uint64_t generation = 0;
  uint64_t first_sequence = 0;
  uint64_t file_bytes = 0;
};

struct PlannedSegment {
  SegmentHeader header;
  JournalFold fold;  // before its first record
};

struct PlannedRecord {
  uint64_t generation = 0;
  uint64_t offset = 0;
  uint64_t sequence = 0;
  bool is_state = false;
  std::array<uint8_t, kRecordHeaderBytes> header{};
  Bytes payload;
};

// A peer must not know it, or bytes that it chose could pass for records.
uint64_t RandomSalt() {
  uint64_t salt = 0;
  while (getrandom(&salt, sizeof(salt), 0) != sizeof(salt)) {
  }
  return salt;
}

class Writer final : public JournalWriter {
 public:
  Writer(const JournalOptions& options)
      : options_(options), files_(options.files ? *options.files : FileOperations::System()), file_(files_) {
    options_.segment_bytes = std::max(options_.segment_bytes, kSegmentBytesMin) / kSegmentBytesMin * kSegmentBytesMin;
  }
  ~Writer() override {
    if (lock_fd_ >= 0) close(lock_fd_);
  }

  bool Start(const OnRecord& on_record, Error* error);

  uint64_t next_sequence() const override { return next_sequence_; }
  bool Append(uint64_t sequence, const JournalRecord& record, Error* error) override;
  bool Sync(Error* error) override;
  JournalPosition durable() const override { return durable_; }
  uint64_t durable_sequence() const override { return durable_sequence_; }
  uint64_t buffered_bytes() const override { return buffered_bytes_; }
  void Cut(Height height) override;
  uint64_t bytes_on_disk() const override { return bytes_on_disk_; }
  uint64_t syncs() const override { return syncs_; }

 private:
  std::string Path(const std::string& name) const { return options_.directory + "/" + name; }
  // -- start
  bool LockDirectory(Error* error);
  bool RemoveLeftovers(const DirectoryListing& listing, Error* error);
  bool ReplaySegment(size_t index, const OnRecord& on_record, Error* error);
  bool ReplayRecord(const RecordHeader& header, ByteView payload, const OnRecord& on_record, Error* error);
  bool EndReplay(Error* error);
  // -- planning
  void Place(uint64_t sequence, const JournalRecord& record, Bytes payload);
  void PlanSegment(uint64_t record_bytes);
  void PlanRecord(uint64_t sequence, Bytes payload, uint32_t flags);
  void PlanAnew();
  // -- writing
  bool WriteSegment(Error* error, bool* segment_lost);
  void DropLostSegment();
  bool MakeSegment(const SegmentHeader& header, Error* error);
  int OpenNewFile(uint64_t bytes, std::string* path, Error* error);
  bool WriteRecords(size_t count, Error* error);
  bool WriteAll(int fd, std::vector<iovec>& parts, uint64_t offset);
  void SetDurable(size_t count);

  JournalOptions options_;
  FileOperations& files_;
  int lock_fd_ = -1;
  bool replayed_any_ = false;
  std::deque<Segment> segments_;  // on disk, oldest first; the last may be the one being written
  SegmentFile file_;              // being written, if open
  uint64_t spare_bytes_ = 0;      // of the spare file; 0: none
  uint64_t bytes_on_disk_ = 0;
  uint64_t syncs_ = 0;
  JournalPosition durable_;
  uint64_t durable_sequence_ = 0;
  JournalFold durable_fold_;

  // The plan: records not yet durable, the segments to be made for them, and the place behind the last one.
  std::deque<PlannedRecord> records_;
  std::deque<PlannedSegment> new_segments_;
  uint64_t buffered_bytes_ = 0;
  JournalFold fold_;
  uint64_t next_sequence_ = 1;
  SegmentHeader place_;  // the segment of the next record, generation 0: none yet
  uint64_t place_offset_ = 0;
  uint32_t previous_ = 0;
  uint64_t next_generation_ = 1;  // never used twice, or stale bytes could read as live
};

// ---- start ------------------------------------------------------------------------------------------------------

bool Writer::LockDirectory(Error* error) {
  const std::string& directory = options_.directory;
  if (mkdir(directory.c_str(), 0700) == 0) {
    std::string parent = directory.substr(0, directory.find_last_of('/'));
    if (files_.SyncDirectory(parent == directory ? "." : parent.empty() ? "/" : parent) != 0)
      return *error = SystemError("sync directory", parent, errno), false;
  } else if (errno != EEXIST) {
    return *error = SystemError("create directory", directory, errno), false;
  }
  int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return *error = SystemError("open directory", directory, errno), false;
  bool ours = CheckOwnership(fd, directory, true, error);
  close(fd);
  if (!ours) return false;
  std::string path = Path(kLockName);
  lock_fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_fd_ < 0) return *error = SystemError("open", path, errno), false;
  if (!CheckOwnership(lock_fd_, path, false, error)) return false;
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno != EWOULDBLOCK) return *error = SystemError("lock", path, errno), false;
  *error = {"the journal in \"" + directory + "\" is being written by another process", EWOULDBLOCK};
  return false;
}

bool Writer::RemoveLeftovers(const DirectoryListing& listing, Error* error) {
  for (const std::string& name : listing.others) {
    if (name != kNewName && name != kSpareName) continue;
    if (files_.Remove(Path(name)) != 0 && errno != ENOENT)
      return *error = SystemError("remove", Path(name), errno), false;
  }
  return true;
}

bool Writer::Start(const OnRecord& on_record, Error* error) {
  DirectoryListing listing;
  if (!LockDirectory(error) || !ListDirectory(options_.directory, &listing, error)) return false;
  if (!RemoveLeftovers(listing, error)) return false;
  for (uint64_t generation : listing.generations) {
    if (!file_.Open(options_.directory, generation, O_RDONLY, error)) return false;
    segments_.push_back({generation, file_.header().first_sequence, file_.header().file_bytes});
    bytes_on_disk_ += file_.header().file_bytes;
  }
  file_.Close();
  if (segments_.empty()) return true;
  next_generation_ = segments_.back().generation + 1;
  next_sequence_ = segments_.front().first_sequence;
  durable_sequence_ = segments_.back().first_sequence - 1;
  for (size_t i = 0; i < segments_.size(); i++)
    if (!ReplaySegment(i, on_record, error)) return false;
  return EndReplay(error);
}

// Reads the segment up to where the next one begins, or up to the torn tail.
bool Writer::ReplaySegment(size_t index, const OnRecord& on_record, Error* error) {
  const Segment& segment = segments_[index];
  const bool last = index + 1 == segments_.size();
  const uint64_t end = last ? UINT64_MAX : segments_[index + 1].first_sequence;
  if (!file_.Open(options_.directory, segment.generation, last ? O_RDWR : O_RDONLY, error)) return false;
  auto damaged = [&](const std::string& what) {
    return *error = {"journal segment " + At(file_.path(), place_offset_) + " is damaged: " + what}, false;
  };
  place_ = file_.header();
  place_offset_ = kSegmentHeaderBytes;
  previous_ = place_.checksum;
  if (segment.first_sequence != next_sequence_ || end < next_sequence_)
    return damaged("it does not go on where the segment before ends");
  while (next_sequence_ < end) {
    RecordHeader header;
    ByteView payload;
    auto outcome = file_.ReadRecord(place_offset_, place_.file_bytes, previous_, &header, &payload, error);
    if (outcome == SegmentFile::Outcome::kError) return false;
    bool is_state = (header.flags & kStateAtHead) != 0;
    bool fits = outcome == SegmentFile::Outcome::kRecord && header.sequence == next_sequence_ - (is_state ? 1 : 0) &&
                (!is_state || place_offset_ == kSegmentHeaderBytes);
    if (!fits) {
      if (!last) return damaged("a record is missing or its checksum is wrong");
      outcome = file_.FindProof(place_offset_, next_sequence_, error);
      if (outcome == SegmentFile::Outcome::kError) return false;
      if (outcome == SegmentFile::Outcome::kInvalid) break;
      return damaged("a record that was durable is missing or its checksum is wrong");
    }
    if (!ReplayRecord(header, payload, on_record, error)) return false;
    durable_sequence_ = std::max(durable_sequence_, header.durable_sequence);
    place_offset_ += RecordBytes(header.payload_bytes);
    previous_ = header.checksum;
  }
  return true;
}

bool Writer::ReplayRecord(const RecordHeader& header, ByteView payload, const OnRecord& on_record, Error* error) {
  const bool is_state = (header.flags & kStateAtHead) != 0;
  JournalRecord record;
  std::string why;
  if (!DecodeRecord(payload, &record)) why = "it can't be decoded";
  if (why.empty() && is_state != std::holds_alternative<SegmentStateRecord>(record)) why = "it is out of place";
  if (why.empty() && is_state && replayed_any_ && EncodeRecord(fold_.state()) != Bytes(payload.begin(), payload.end()))
    why = "the state at the segment's head contradicts the records before it";
  if (why.empty() && (!is_state || !replayed_any_)) why = on_record(header.sequence, JournalRecord(record));
  if (!why.empty()) {
    *error = {"journal segment " + At(file_.path(), place_offset_) + ": record " + std::to_string(header.sequence) +
              " makes no sense: " + why};
    return false;
  }
  fold_.Apply(record, place_.generation);
  if (!is_state) next_sequence_ = header.sequence + 1;
  replayed_any_ = true;
  return true;
}

// What no later record proves to be durable may stand in the page cache only (after a failed fsync the kernel calls
// such pages clean): it is written again. The last segment is the one that is written from now on.
bool Writer::EndReplay(Error* error) {
  if (files_.Allocate(file_.fd(), static_cast<off_t>(place_.file_bytes)) != 0)
    return *error = SystemError("allocate", file_.path(), errno), false;
  uint64_t offset = kSegmentHeaderBytes;
  uint32_t previous = place_.checksum;
  while (offset < place_offset_) {
    RecordHeader header;
    ByteView payload;
    auto outcome = file_.ReadRecord(offset, place_offset_, previous, &header, &payload, error);
    if (outcome == SegmentFile::Outcome::kError) return false;
    if (outcome == SegmentFile::Outcome::kInvalid)
      return *error = {"journal segment " + At(file_.path(), offset) + " changed while it was read"}, false;
    previous = header.checksum;
    uint64_t bytes = RecordBytes(header.payload_bytes);
    if (header.sequence > durable_sequence_ || (header.flags & kStateAtHead)) {
      // The payload is a view into the window, with the header in front of it and the padding behind.
      std::vector<iovec> parts{{const_cast<uint8_t*>(payload.data() - kRecordHeaderBytes), bytes}};
      if (!WriteAll(file_.fd(), parts, offset))
        return *error = SystemError("write", At(file_.path(), offset), errno), false;
    }
    offset += bytes;
  }
  if (files_.SyncData(file_.fd()) != 0) return *error = SystemError("sync", file_.path(), errno), false;
  durable_ = {place_.generation, place_offset_};
  durable_sequence_ = next_sequence_ - 1;
  durable_fold_ = fold_;
  // A crash came between the making of the segment and its first sync: it still needs its head.
  if (place_offset_ == kSegmentHeaderBytes && next_sequence_ > 1)
    PlanRecord(next_sequence_ - 1, EncodeRecord(fold_.state()), kStateAtHead);
  return true;
}

// ---- planning ---------------------------------------------------------------------------------------------------

bool Writer::Append(uint64_t sequence, const JournalRecord& record, Error* error) {
  if (sequence != next_sequence_) {
    *error = {"record " + std::to_string(sequence) + " was appended to the journal where " +
              std::to_string(next_sequence_) + " comes next"};
    return false;
  }
  Bytes payload = EncodeRecord(record);
  if (payload.size() > kJournalRecordBytesMax) {
    *error = {"a record of " + std::to_string(payload.size()) + " bytes is too large for the journal"};
    return false;
  }
  Place(sequence, record, std::move(payload));
  return true;
}

void Writer::Place(uint64_t sequence, const JournalRecord& record, Bytes payload) {
  uint64_t bytes = RecordBytes(payload.size());
  if (place_.generation == 0 || place_offset_ + bytes > place_.file_bytes) PlanSegment(bytes);
  fold_.Apply(record, place_.generation);
  PlanRecord(sequence, std::move(payload), 0);
  next_sequence_ = sequence + 1;
}

void Writer::PlanSegment(uint64_t record_bytes) {
  Bytes state;
  if (next_sequence_ > 1) state = EncodeRecord(fold_.state());
  uint64_t bytes = kSegmentHeaderBytes + (state.empty() ? 0 : RecordBytes(state.size())) + record_bytes;
  bytes = (bytes + kSegmentBytesMin - 1) / kSegmentBytesMin * kSegmentBytesMin;
  place_ = {};
  place_.generation = next_generation_++;
  place_.first_sequence = next_sequence_;
  place_.file_bytes = std::max(bytes, options_.segment_bytes);
  place_.salt = RandomSalt();
  place_.Encode();
  new_segments_.push_back({place_, fold_});
  place_offset_ = kSegmentHeaderBytes;
  previous_ = place_.checksum;
  if (!state.empty()) PlanRecord(next_sequence_ - 1, std::move(state), kStateAtHead);
}

void Writer::PlanRecord(uint64_t sequence, Bytes payload, uint32_t flags) {
  PlannedRecord& planned = records_.emplace_back();
  planned.generation = place_.generation;
  planned.offset = place_offset_;
  planned.sequence = sequence;
  planned.is_state = flags == kStateAtHead;
  planned.payload = std::move(payload);
  RecordHeader header;
  header.sequence = sequence;
  header.durable_sequence = durable_sequence_;
  header.previous = previous_;
  header.flags = flags;
  header.Encode(place_, planned.payload, planned.header.data());
  previous_ = header.checksum;
  place_offset_ += RecordBytes(planned.payload.size());
  buffered_bytes_ += planned.payload.size();
}

// The segment being written is lost, or none can be made: plans everything that is not durable into new segments.
void Writer::PlanAnew() {
  std::deque<PlannedRecord> old = std::move(records_);
  records_.clear();
  new_segments_.clear();
  buffered_bytes_ = 0;
  fold_ = durable_fold_;
  next_sequence_ = durable_sequence_ + 1;
  place_ = {};
  for (PlannedRecord& planned : old) {
    if (planned.is_state) continue;
    JournalRecord record;
    DecodeRecord(planned.payload, &record);  // it is what EncodeRecord made
    Place(planned.sequence, record, std::move(planned.payload));
  }
}

// ---- writing ----------------------------------------------------------------------------------------------------

bool Writer::Sync(Error* error) {
  bool tried_anew = false;
  while (!records_.empty()) {
    bool segment_lost = false;
    if (WriteSegment(error, &segment_lost)) continue;
    if (!segment_lost) return false;
    DropLostSegment();
    PlanAnew();
    if (tried_anew) return false;
    tried_anew = true;
  }
  return true;
}

// If nothing of it is durable, its file goes: repeated failures must not fill the disk.
void Writer::DropLostSegment() {
  file_.Close();
  const Segment lost = segments_.back();
  if (lost.generation == durable_.generation || files_.Remove(Path(SegmentName(lost.generation))) != 0) return;
  bytes_on_disk_ -= lost.file_bytes;
  segments_.pop_back();
}

// Makes the first planned records durable, those that stand in one segment.
bool Writer::WriteSegment(Error* error, bool* segment_lost) {
  const uint64_t generation = records_.front().generation;
  if (!new_segments_.empty() && new_segments_.front().header.generation == generation) {
    if (!MakeSegment(new_segments_.front().header, error)) return false;
    new_segments_.pop_front();
  }
  size_t count = 0;
  while (count < records_.size() && records_[count].generation == generation) count++;
  if (!WriteRecords(count, error)) {
    *segment_lost = true;
    return false;
  }
  syncs_++;
  SetDurable(count);
  return true;
}

void Writer::SetDurable(size_t count) {
  const PlannedRecord& last = records_[count - 1];
  durable_ = {last.generation, last.offset + RecordBytes(last.payload.size())};
  durable_sequence_ = last.sequence;
  for (size_t i = 0; i < count; i++) buffered_bytes_ -= records_[i].payload.size();
  records_.erase(records_.begin(), records_.begin() + static_cast<ptrdiff_t>(count));
  durable_fold_ = new_segments_.empty() ? fold_ : new_segments_.front().fold;
}

bool Writer::WriteRecords(size_t count, Error* error) {
  static const uint8_t padding[kRecordAlignBytes] = {};
  std::vector<iovec> parts;
  uint64_t offset = records_.front().offset;
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    PlannedRecord& r = records_[i];
    uint64_t whole = RecordBytes(r.payload.size());
    parts.push_back({r.header.data(), r.header.size()});
    parts.push_back({r.payload.data(), r.payload.size()});
    if (size_t pad = whole - r.header.size() - r.payload.size(); pad > 0)
      parts.push_back({const_cast<uint8_t*>(padding), pad});
    bytes += whole;
    if (parts.size() + 3 <= kPartsPerWrite && i + 1 < count) continue;
    if (!WriteAll(file_.fd(), parts, offset))
      return *error = SystemError("write", At(file_.path(), offset), errno), false;
    offset += bytes;
    bytes = 0;
    parts.clear();
  }
  if (files_.SyncData(file_.fd()) != 0) return *error = SystemError("sync", file_.path(), errno), false;
  return true;
}

bool Writer::WriteAll(int fd, std::vector<iovec>& parts, uint64_t offset) {
  size_t at = 0;
  while (at < parts.size()) {
    ssize_t n = files_.Write(fd, &parts[at], static_cast<int>(parts.size() - at), static_cast<off_t>(offset));
    if (n == 0) errno = ENOSPC;
    if (n <= 0) return false;
    offset += static_cast<uint64_t>(n);
    for (size_t left = static_cast<size_t>(n); left > 0;) {
      size_t step = std::min(left, parts[at].iov_len);
      parts[at].iov_base = static_cast<uint8_t*>(parts[at].iov_base) + step;
      parts[at].iov_len -= step;
      left -= step;
      if (parts[at].iov_len == 0) at++;
    }
  }
  return true;
}

// The spare file if it has the right size, or a new one. Neither has a name that a replay would read.
int Writer::OpenNewFile(uint64_t bytes, std::string* path, Error* error) {
  const bool recycle = spare_bytes_ == bytes;
  *path = Path(recycle ? kSpareName : kNewName);
  int fd = files_.Open(*path, recycle ? O_RDWR : O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return *error = SystemError("open", *path, errno), -1;
  if (files_.Allocate(fd, static_cast<off_t>(bytes)) == 0) return fd;
  *error = SystemError("allocate " + std::to_string(bytes) + " bytes for", *path, errno);
  files_.Close(fd);
  if (!recycle) files_.Remove(*path);
  return -1;
}

bool Writer::MakeSegment(const SegmentHeader& planned, Error* error) {
  SegmentHeader header = planned;
  Bytes bytes = header.Encode();
  std::string path;
  int fd = OpenNewFile(header.file_bytes, &path, error);
  if (fd < 0) return false;
  const std::string final_path = Path(SegmentName(header.generation));
  const bool was_spare = path == Path(kSpareName);
  std::vector<iovec> parts{{bytes.data(), bytes.size()}};
  const char* step = "write";
  bool done = WriteAll(fd, parts, 0);
  if (done) step = "sync", done = files_.SyncFile(fd) == 0;
  if (done) step = "rename", done = files_.Rename(path, final_path) == 0;
  if (done) step = "sync the directory of", done = files_.SyncDirectory(options_.directory) == 0;
  if (!done) *error = SystemError(step, path, errno);
  files_.Close(fd);
  if (done) done = file_.Open(options_.directory, header.generation, O_RDWR, error);
  if (was_spare) {
    bytes_on_disk_ -= spare_bytes_;
    spare_bytes_ = 0;
  }
  if (!done) {
    files_.Remove(path);
    files_.Remove(final_path);  // if it comes back after a crash, it is an empty segment, and says nothing
    return false;
  }
  segments_.push_back({header.generation, header.first_sequence, header.file_bytes});
  bytes_on_disk_ += header.file_bytes;
  return true;
}

// ---- cutting ----------------------------------------------------------------------------------------------------

void Writer::Cut(Height height) {
  durable_fold_.Prune();
  fold_.Prune();
  bool changed = false;
  // The segment that becomes the oldest must hold its state at the head durably: up to the one of durable_.
  while (segments_.size() > std::max<size_t>(options_.segments_kept, 1) + 1) {
    const Segment oldest = segments_.front();
    if (segments_[1].generation > durable_.generation) break;
    if (!fold_.CanCut(oldest.generation, height) || !durable_fold_.CanCut(oldest.generation, height)) break;
    std::string path = Path(SegmentName(oldest.generation));
    bool keep =
        spare_bytes_ == 0 && oldest.file_bytes == options_.segment_bytes && files_.Rename(path, Path(kSpareName)) == 0;
    if (keep)
      spare_bytes_ = oldest.file_bytes;
    else if (files_.Remove(path) != 0 && errno != ENOENT)
      break;  // the next Cut tries again
    else
      bytes_on_disk_ -= oldest.file_bytes;
    fold_.Forget(oldest.generation);
    durable_fold_.Forget(oldest.generation);
    segments_.pop_front();
    changed = true;
  }
  if (changed) files_.SyncDirectory(options_.directory);
}

}  // namespace

std::unique_ptr<JournalWriter> JournalWriter::Open(const JournalOptions& options, const OnRecord& on_record,
                                                   Error* error) {
  auto writer = std::make_unique<Writer>(options);
  if (!writer->Start(on_record, error)) return nullptr;
  return writer;
}

}  // namespace dadbs::storage
