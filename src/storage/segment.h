/*
 * segment.h: the bytes of a journal segment: header, record headers, and reading them with every check.
 *
 * Used by the writer (replay) and by readers in other processes. The layout stands in docs/journal-format.md. A
 * record's checksum covers the segment's salt and generation, its sequence and the checksum of the record before it:
 * what an earlier life of the file, or a tail that was cut, has left behind never reads as live, and bytes chosen by a
 * peer inside a payload never pass for a record, since it does not know the salt.
 */
#pragma once

#include <string>
#include <vector>

#include "dadbs/storage/file_operations.h"
#include "dadbs/storage/journal.h"

namespace dadbs::storage {

inline constexpr uint64_t kSegmentHeaderBytes = 64;
inline constexpr uint64_t kRecordHeaderBytes = 32;
inline constexpr uint64_t kRecordAlignBytes = 8;
inline constexpr uint32_t kJournalFormat = 1;

struct SegmentHeader {
  uint64_t generation = 0;
  uint64_t first_sequence = 0;
  uint64_t file_bytes = 0;
  uint64_t salt = 0;
  uint32_t checksum = 0;  // set by Encode and Decode; the first record's `previous`

  core::Bytes Encode();
  static bool Decode(core::ByteView bytes, SegmentHeader* out, std::string* why);
};

enum RecordFlag : uint32_t { kStateAtHead = 1 };

struct RecordHeader {
  uint32_t payload_bytes = 0;
  uint32_t checksum = 0;
  uint64_t sequence = 0;
  uint64_t durable_sequence = 0;  // everything up to here was durable when this record was written
  uint32_t previous = 0;          // checksum of the record before, or of the segment's header
  uint32_t flags = 0;

  void Encode(const SegmentHeader& segment, core::ByteView payload, uint8_t* to);  // sets checksum
  static RecordHeader Decode(const uint8_t* from);
  uint32_t Compute(const SegmentHeader& segment, core::ByteView payload) const;
};

constexpr uint64_t RecordBytes(uint64_t payload_bytes) {
  return (kRecordHeaderBytes + payload_bytes + kRecordAlignBytes - 1) / kRecordAlignBytes * kRecordAlignBytes;
}

std::string SegmentName(uint64_t generation);  // 16 hex digits, ".seg"
Error SystemError(const std::string& what, const std::string& path, int error_number);
std::string At(const std::string& path, uint64_t offset);

struct DirectoryListing {
  std::vector<uint64_t> generations;  // ascending
  std::vector<std::string> others;    // names of left-over and spare files
};
bool ListDirectory(const std::string& directory, DirectoryListing* out, Error* error);
// Ours, and for nobody else to read or write.
bool CheckOwnership(int fd, const std::string& path, bool directory, Error* error);

// An open segment, read in windows.
class SegmentFile {
 public:
  SegmentFile(FileOperations& files) : files_(files) {}
  ~SegmentFile() { Close(); }
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  bool Open(const std::string& directory, uint64_t generation, int flags, Error* error);
  void Close();
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  int Release();  // the descriptor is the caller's from now on
  const std::string& path() const { return path_; }
  const SegmentHeader& header() const { return header_; }

  enum class Outcome { kRecord, kInvalid, kError };
  // The record at `offset`, which must end at or before `limit` and follow the one whose checksum is `previous`.
  // kInvalid: no such record is there. The payload is valid until the next call.
  Outcome ReadRecord(uint64_t offset, uint64_t limit, uint32_t previous, RecordHeader* header, core::ByteView* payload,
                     Error* error);
  // Whether a record behind `offset` proves that `sequence` was durable: then what fails at `offset` is damage, no torn
  // tail. kRecord: yes, kInvalid: no.
  Outcome FindProof(uint64_t offset, uint64_t sequence, Error* error);
  // Whether the file still is the segment that was opened (it may have been cut and recycled).
  bool StillThis();

 private:
  // Makes [offset, offset + bytes) available, or what there is of it; sets *available.
  bool Fetch(uint64_t offset, uint64_t bytes, uint64_t limit, const uint8_t** data, uint64_t* available, Error* error);

  FileOperations& files_;
  int fd_ = -1;
  std::string path_;
  SegmentHeader header_;
  core::Bytes window_;
  uint64_t window_offset_ = 0;
};

}  // namespace dadbs::storage
