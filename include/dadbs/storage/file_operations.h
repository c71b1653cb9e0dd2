/*
 * file_operations.h: the system calls that the journal uses, in one place, so that tests can make each of them fail or
 * lose what was not synced. Each behaves as the call it names: -1 and errno on failure.
 */
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <string>

namespace dadbs::storage {

class FileOperations {
 public:
  virtual ~FileOperations() = default;
  virtual int Open(const std::string& path, int flags, mode_t mode);  // O_CLOEXEC and O_NOFOLLOW are added
  virtual int Close(int fd);
  virtual ssize_t Read(int fd, void* to, size_t bytes, off_t offset);
  virtual ssize_t Write(int fd, const iovec* parts, int count, off_t offset);
  virtual int Allocate(int fd, off_t bytes);  // posix_fallocate from 0
  virtual int SyncData(int fd);               // fdatasync
  virtual int SyncFile(int fd);               // fsync
  virtual int SyncDirectory(const std::string& path);
  virtual int Rename(const std::string& from, const std::string& to);
  virtual int Remove(const std::string& path);

  static FileOperations& System();
};

}  // namespace dadbs::storage
