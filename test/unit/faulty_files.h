/*
 * faulty_files.h: file operations that fail or crash where a test says, and lose what was not synced.
 *
 * Every call that changes something has a number. At `fail_at` it fails once (kError), or it and all later ones fail
 * (kCrash); `torn_bytes` of a write that fails by a crash come through. LosePower() then brings the files to what a power failure may leave: of each write that no successful sync
 * followed, any 512-byte sector may be the old one; of the directory's changes, any number of the last unsynced ones
 * are undone. Writes in front of a failed sync are lost for good, as on Linux, where the pages are called clean after
 * it.
 */
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <vector>

#include "dadbs/core/types.h"
#include "dadbs/storage/file_operations.h"

namespace dadbs::storage {

// For tests that lose no power: real syncs only make them slow.
class UnsyncedFiles : public FileOperations {
 public:
  int SyncData(int) override { return 0; }
  int SyncFile(int) override { return 0; }
  int SyncDirectory(const std::string&) override { return 0; }
};

class FaultyFiles final : public UnsyncedFiles {
 public:
  enum class Mode { kNone, kError, kCrash };
  Mode mode = Mode::kNone;
  int fail_at = 0;
  int error_number = EIO;
  size_t torn_bytes = 0;
  size_t written_bytes_max = 0;  // of one call, so far
  int calls = 0;

  int Open(const std::string& path, int flags, mode_t mode_bits) override {
    const bool creates = (flags & O_CREAT) != 0 && !std::filesystem::exists(path);
    if (creates && Fails()) return -1;
    int fd = FileOperations::Open(path, flags, mode_bits);
    if (fd >= 0) paths_[fd] = Inode(fd);
    if (fd >= 0 && creates) changes_.push_back({"", path});
    return fd;
  }
  ssize_t Write(int fd, const iovec* parts, int count, off_t offset) override {
    const bool fails = Fails();
    core::Bytes data;
    for (int i = 0; i < count; i++) {
      auto* from = static_cast<const uint8_t*>(parts[i].iov_base);
      data.insert(data.end(), from, from + parts[i].iov_len);
    }
    written_bytes_max = std::max(written_bytes_max, data.size());
    if (fails && mode == Mode::kCrash && calls == fail_at && torn_bytes > 0 &&
        pwrite(fd, data.data(), std::min(torn_bytes, data.size()), offset) < 0)
      std::abort();
    if (fails) return errno = error_number, -1;
    core::Bytes old(data.size());
    old.resize(std::max<ssize_t>(0, pread(fd, old.data(), old.size(), offset)));
    writes_.push_back({paths_[fd], offset, std::move(old), false, data.size()});
    return FileOperations::Write(fd, parts, count, offset);
  }
  int Allocate(int fd, off_t bytes) override { return Fails() ? -1 : FileOperations::Allocate(fd, bytes); }
  int SyncData(int fd) override { return Synced(fd); }
  int SyncFile(int fd) override { return Synced(fd); }
  int SyncDirectory(const std::string& path) override {
    if (Fails()) return -1;
    changes_.clear();
    return UnsyncedFiles::SyncDirectory(path);
  }
  int Rename(const std::string& from, const std::string& to) override {
    if (Fails()) return -1;
    changes_.push_back({from, to});
    return FileOperations::Rename(from, to);
  }
  int Remove(const std::string& path) override {
    if (Fails()) return -1;
    if (!std::filesystem::exists(path)) return errno = ENOENT, -1;
    std::string stash = path + "~" + std::to_string(stashed_++);
    changes_.push_back({path, stash});
    return FileOperations::Rename(path, stash);
  }

  void LosePower(const std::string& directory, uint32_t seed) {
    std::mt19937 random(seed);
    std::map<ino_t, std::string> where;
    for (const auto& e : std::filesystem::directory_iterator(directory)) {
      struct stat st;
      if (stat(e.path().c_str(), &st) == 0) where[st.st_ino] = e.path();
    }
    for (auto w = writes_.rbegin(); w != writes_.rend(); ++w)
      if (where.count(w->inode)) Restore(where[w->inode], *w, random);
    for (size_t undone = changes_.empty() ? 0 : random() % (changes_.size() + 1); undone > 0; undone--) {
      auto [from, to] = changes_.back();
      changes_.pop_back();
      if (from.empty())
        unlink(to.c_str());
      else
        rename(to.c_str(), from.c_str());
    }
    for (const auto& e : std::filesystem::directory_iterator(directory))
      if (e.path().string().find('~') != std::string::npos) std::filesystem::remove(e.path());
    writes_.clear();
    changes_.clear();
    mode = Mode::kNone;
  }

 private:
  struct UnsyncedWrite {
    ino_t inode;
    off_t offset;
    core::Bytes old;
    bool lost;  // a sync failed: only writing it again can make it durable
    size_t size;
  };

  static ino_t Inode(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
  }
  bool Fails() {
    calls++;
    bool fails = (mode == Mode::kError && calls == fail_at) || (mode == Mode::kCrash && calls >= fail_at);
    if (fails) errno = error_number;
    return fails;
  }
  int Synced(int fd) {
    ino_t inode = paths_[fd];
    if (Fails()) {
      for (auto& w : writes_)
        if (w.inode == inode) w.lost = true;
      return -1;
    }
    std::vector<UnsyncedWrite> durable, rest;
    for (auto& w : writes_) (w.inode == inode && !w.lost ? durable : rest).push_back(w);
    // What was written again over a lost range is durable now.
    for (const auto& d : durable)
      for (auto& lost : rest)
        if (lost.inode == inode) Refresh(fd, d, lost);
    writes_ = std::move(rest);
    return UnsyncedFiles::SyncData(fd);
  }
  static void Refresh(int fd, const UnsyncedWrite& durable, UnsyncedWrite& lost) {
    off_t from = std::max(durable.offset, lost.offset);
    off_t to =
        std::min(durable.offset + static_cast<off_t>(durable.size), lost.offset + static_cast<off_t>(lost.old.size()));
    if (from < to &&
        pread(fd, &lost.old[static_cast<size_t>(from - lost.offset)], static_cast<size_t>(to - from), from) < 0)
      std::abort();
  }
  static void Restore(const std::string& path, const UnsyncedWrite& w, std::mt19937& random) {
    int fd = open(path.c_str(), O_RDWR);
    if (fd < 0) return;
    for (size_t at = 0; at < w.old.size();) {
      size_t sector_end = 512 - static_cast<size_t>(w.offset + static_cast<off_t>(at)) % 512;
      size_t n = std::min(sector_end, w.old.size() - at);
      if (w.lost || (random() & 1) != 0)
        if (pwrite(fd, w.old.data() + at, n, w.offset + static_cast<off_t>(at)) < 0) break;
      at += n;
    }
    close(fd);
  }

  std::map<int, ino_t> paths_;
  std::vector<UnsyncedWrite> writes_;
  std::vector<std::pair<std::string, std::string>> changes_;  // from "" to: created
  int stashed_ = 0;
};

}  // namespace dadbs::storage
