/*
 * segment.cpp: see segment.h.
 */
#include "segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <system_error>

#include "crc32c.h"

namespace dadbs::storage {

namespace {

constexpr char kMagic[] = "DADBSJRN";  // 8 bytes, without the terminator
constexpr size_t kChecksumOffset = 12;
constexpr uint64_t kWindowBytes = 1u << 20;
constexpr uint64_t kWindowKeptBytesMax = 4 * kWindowBytes;  // what a larger record took is given back

uint32_t HeaderChecksum(core::ByteView bytes) {
  return Crc32c(bytes.subspan(kChecksumOffset + 4), Crc32c(bytes.first(kChecksumOffset)));
}

}  // namespace

core::Bytes SegmentHeader::Encode() {
  core::Writer w;
  w.Raw(core::AsBytes({kMagic, 8}));
  w.U32(kJournalFormat);
  w.U32(0);
  w.U64(generation);
  w.U64(first_sequence);
  w.U64(file_bytes);
  w.U64(salt);
  w.U64(0);
  w.U64(0);
  checksum = HeaderChecksum(w.bytes());
  w.PatchU32(kChecksumOffset, checksum);
  return w.Take();
}

bool SegmentHeader::Decode(core::ByteView bytes, SegmentHeader* out, std::string* why) {
  auto fail = [&](const char* text) { return *why = text, false; };
  if (bytes.size() < kSegmentHeaderBytes) return fail("the file is shorter than a segment's header");
  bytes = bytes.first(kSegmentHeaderBytes);
  core::Reader r(bytes);
  core::ByteView magic = r.Raw(8);
  if (!std::equal(magic.begin(), magic.end(), kMagic)) return fail("this is no journal segment");
  uint32_t format = r.U32();
  out->checksum = r.U32();
  if (out->checksum != HeaderChecksum(bytes)) return fail("the header's checksum is wrong");
  if (format != kJournalFormat) return fail("the journal's format is unknown");
  out->generation = r.U64();
  out->first_sequence = r.U64();
  out->file_bytes = r.U64();
  out->salt = r.U64();
  return true;
}

uint32_t RecordHeader::Compute(const SegmentHeader& segment, core::ByteView payload) const {
  core::Writer w;
  w.Reserve(48);
  w.U64(segment.salt);
  w.U64(segment.generation);
  w.U32(payload_bytes);
  w.U64(sequence);
  w.U64(durable_sequence);
  w.U32(previous);
  w.U32(flags);
  return Crc32c(payload, Crc32c(w.bytes()));
}

void RecordHeader::Encode(const SegmentHeader& segment, core::ByteView payload, uint8_t* to) {
  payload_bytes = static_cast<uint32_t>(payload.size());
  checksum = Compute(segment, payload);
  core::Writer w;
  w.Reserve(kRecordHeaderBytes);
  w.U32(payload_bytes);
  w.U32(checksum);
  w.U64(sequence);
  w.U64(durable_sequence);
  w.U32(previous);
  w.U32(flags);
  std::memcpy(to, w.bytes().data(), kRecordHeaderBytes);
}

RecordHeader RecordHeader::Decode(const uint8_t* from) {
  core::Reader r({from, kRecordHeaderBytes});
  RecordHeader h;
  h.payload_bytes = r.U32();
  h.checksum = r.U32();
  h.sequence = r.U64();
  h.durable_sequence = r.U64();
  h.previous = r.U32();
  h.flags = r.U32();
  return h;
}

std::string SegmentName(uint64_t generation) {
  char name[32];
  std::snprintf(name, sizeof(name), "%016" PRIx64 ".seg", generation);
  return name;
}

Error SystemError(const std::string& what, const std::string& path, int error_number) {
  return {"could not " + what + " \"" + path + "\": " + std::system_category().message(error_number), error_number};
}

std::string At(const std::string& path, uint64_t offset) {
  return "\"" + path + "\" at byte " + std::to_string(offset);
}

bool ListDirectory(const std::string& directory, DirectoryListing* out, Error* error) {
  DIR* dir = opendir(directory.c_str());
  if (!dir) return *error = SystemError("open directory", directory, errno), false;
  *out = {};
  errno = 0;
  while (dirent* entry = readdir(dir)) {
    std::string name = entry->d_name;
    uint64_t generation = 0;
    if (std::sscanf(name.c_str(), "%" SCNx64, &generation) == 1 && name == SegmentName(generation))
      out->generations.push_back(generation);
    else if (name != "." && name != "..")
      out->others.push_back(std::move(name));
    errno = 0;
  }
  int failed = errno;
  closedir(dir);
  if (failed != 0) return *error = SystemError("read directory", directory, failed), false;
  std::sort(out->generations.begin(), out->generations.end());
  return true;
}

bool CheckOwnership(int fd, const std::string& path, bool directory, Error* error) {
  struct stat st;
  if (fstat(fd, &st) != 0) return *error = SystemError("stat", path, errno), false;
  if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
    return *error = {"\"" + path + "\" is not a " + (directory ? "directory" : "regular file")}, false;
  if (st.st_uid != geteuid())
    return *error = {"\"" + path + "\" has the wrong owner: it must belong to the user who runs this server"}, false;
  if ((st.st_mode & 077) != 0) {
    *error = {"\"" + path + "\" has group or world access: its permissions must be u=rw" +
              (directory ? "x (0700)" : " (0600)")};
    return false;
  }
  return true;
}

bool SegmentFile::Open(const std::string& directory, uint64_t generation, int flags, Error* error) {
  Close();
  path_ = directory + "/" + SegmentName(generation);
  fd_ = files_.Open(path_, flags, 0);
  if (fd_ < 0) return *error = SystemError("open", path_, errno), false;
  if (!CheckOwnership(fd_, path_, false, error)) return Close(), false;
  const uint8_t* data;
  uint64_t available;
  if (!Fetch(0, kSegmentHeaderBytes, kSegmentHeaderBytes, &data, &available, error)) return Close(), false;
  std::string why;
  bool sound = SegmentHeader::Decode({data, available}, &header_, &why);
  if (sound && header_.generation != generation) sound = false, why = "the header names another segment";
  window_.clear();
  if (!sound) return *error = {"journal segment " + At(path_, 0) + " is damaged: " + why}, Close(), false;
  return true;
}

void SegmentFile::Close() {
  if (fd_ >= 0) files_.Close(fd_);
  Release();
}

int SegmentFile::Release() {
  int fd = fd_;
  fd_ = -1;
  window_.clear();
  window_offset_ = 0;
  return fd;
}

bool SegmentFile::Fetch(uint64_t offset, uint64_t bytes, uint64_t limit, const uint8_t** data, uint64_t* available,
                        Error* error) {
  bytes = std::min(bytes, limit > offset ? limit - offset : 0);
  if (offset < window_offset_ || offset + bytes > window_offset_ + window_.size()) {
    uint64_t wanted = std::min(std::max(bytes, kWindowBytes), limit > offset ? limit - offset : 0);
    if (window_.capacity() > kWindowKeptBytesMax && wanted <= kWindowKeptBytesMax) window_ = core::Bytes();
    window_.resize(wanted);
    window_offset_ = offset;
    uint64_t got = 0;
    while (got < wanted) {
      ssize_t n = files_.Read(fd_, window_.data() + got, wanted - got, static_cast<off_t>(offset + got));
      if (n < 0) {
        window_.clear();
        return *error = SystemError("read", At(path_, offset + got), errno), false;
      }
      if (n == 0) break;
      got += static_cast<uint64_t>(n);
    }
    window_.resize(got);
  }
  *data = window_.data() + (offset - window_offset_);
  *available = std::min(bytes, window_.size() - (offset - window_offset_));
  return true;
}

SegmentFile::Outcome SegmentFile::ReadRecord(uint64_t offset, uint64_t limit, uint32_t previous, RecordHeader* header,
                                             core::ByteView* payload, Error* error) {
  const uint8_t* data;
  uint64_t available;
  limit = std::min(limit, header_.file_bytes);
  if (!Fetch(offset, kRecordHeaderBytes, limit, &data, &available, error)) return Outcome::kError;
  if (available < kRecordHeaderBytes) return Outcome::kInvalid;
  *header = RecordHeader::Decode(data);
  // Memory is taken for what the file can hold, not for what a damaged length says.
  if (header->payload_bytes == 0 || header->previous != previous || RecordBytes(header->payload_bytes) > limit - offset)
    return Outcome::kInvalid;
  uint64_t bytes = RecordBytes(header->payload_bytes);
  if (!Fetch(offset, bytes, limit, &data, &available, error)) return Outcome::kError;
  if (available < bytes) return Outcome::kInvalid;
  *payload = {data + kRecordHeaderBytes, header->payload_bytes};
  if (std::any_of(payload->data() + payload->size(), data + bytes, [](uint8_t b) { return b != 0; }))
    return Outcome::kInvalid;
  return header->Compute(header_, *payload) == header->checksum ? Outcome::kRecord : Outcome::kInvalid;
}

SegmentFile::Outcome SegmentFile::FindProof(uint64_t offset, uint64_t sequence, Error* error) {
  // A sequence can't lie further ahead than the file has room for records.
  uint64_t sequence_max = sequence + header_.file_bytes / kRecordHeaderBytes;
  for (uint64_t at = offset; at + kRecordHeaderBytes <= header_.file_bytes; at += kRecordAlignBytes) {
    const uint8_t* data;
    uint64_t available;
    if (!Fetch(at, kRecordHeaderBytes, header_.file_bytes, &data, &available, error)) return Outcome::kError;
    if (available < kRecordHeaderBytes) break;
    const uint64_t maybe_sequence = core::Reader({data + 8, 8}).U64();  // most positions end here, and there are many
    if (maybe_sequence <= sequence || maybe_sequence > sequence_max) continue;
    RecordHeader candidate = RecordHeader::Decode(data);
    if (candidate.payload_bytes == 0 || candidate.durable_sequence < sequence ||
        candidate.durable_sequence >= candidate.sequence)
      continue;
    core::ByteView payload;
    RecordHeader header;
    Outcome outcome = ReadRecord(at, header_.file_bytes, candidate.previous, &header, &payload, error);
    if (outcome != Outcome::kInvalid) return outcome;
  }
  return Outcome::kInvalid;
}

bool SegmentFile::StillThis() {
  uint8_t bytes[kSegmentHeaderBytes];
  SegmentHeader now;
  std::string why;
  return files_.Read(fd_, bytes, sizeof(bytes), 0) == static_cast<ssize_t>(sizeof(bytes)) &&
         SegmentHeader::Decode(bytes, &now, &why) && now.generation == header_.generation &&
         access(path_.c_str(), F_OK) == 0;
}

}  // namespace dadbs::storage
