/*
 * file_operations.cpp: the system's calls. Interrupted ones are repeated, but for close and the syncs: what an
 * interrupted fsync has done is not known, so it counts as failed.
 */
#include "dadbs/storage/file_operations.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace dadbs::storage {

int FileOperations::Open(const std::string& path, int flags, mode_t mode) {
  int fd;
  do fd = open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode);
  while (fd < 0 && errno == EINTR);
  return fd;
}

int FileOperations::Close(int fd) { return close(fd); }

ssize_t FileOperations::Read(int fd, void* to, size_t bytes, off_t offset) {
  ssize_t n;
  do n = pread(fd, to, bytes, offset);
  while (n < 0 && errno == EINTR);
  return n;
}

ssize_t FileOperations::Write(int fd, const iovec* parts, int count, off_t offset) {
  ssize_t n;
  do n = pwritev(fd, parts, count, offset);
  while (n < 0 && errno == EINTR);
  return n;
}

int FileOperations::Allocate(int fd, off_t bytes) {
  int error;
  do error = posix_fallocate(fd, 0, bytes);
  while (error == EINTR);
  errno = error;
  return error == 0 ? 0 : -1;
}

int FileOperations::SyncData(int fd) { return fdatasync(fd); }

int FileOperations::SyncFile(int fd) { return fsync(fd); }

int FileOperations::SyncDirectory(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // the directory itself may be a symbolic link
  if (fd < 0) return -1;
  int result = fsync(fd);
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

int FileOperations::Rename(const std::string& from, const std::string& to) { return rename(from.c_str(), to.c_str()); }

int FileOperations::Remove(const std::string& path) { return unlink(path.c_str()); }

FileOperations& FileOperations::System() {
  static FileOperations system;
  return system;
}

}  // namespace dadbs::storage
