/*
 * doubt.cpp: see doubt.h.
 *
 * "journal.server" beside the journal's mark holds the system identifier and the timeline under which the journal was
 * last written; a member of an older build has none, and gets one.
 */
#include "doubt.h"

#include <string>

#include "dadbs/pg/member.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/fd.h"
}

namespace dadbs::pg {
namespace {

bool told_to_rejoin = false;  // at this start

std::string RejoinFile() { return MemberDirectory() + "/rejoin"; }
std::string ServerFile() { return MemberDirectory() + "/journal.server"; }

// Not to know is not the same as no.
bool Exists(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) == 0) return true;
  if (errno != ENOENT) Call([&] { ereport(FATAL, (errcode_for_file_access(), errmsg("could not stat file \"%s\": %m", path.c_str()))); });
  return false;
}

std::string ThisServer() {
  return std::to_string(GetSystemIdentifier()) + " " + std::to_string(GetWALInsertionTimeLine()) + "\n";
}

// Empty: there is none.
std::string ServerOfJournal() {
  char text[128] = "";
  int const file = open(ServerFile().c_str(), O_RDONLY);
  if (file < 0 && errno == ENOENT) return "";
  ssize_t const bytes = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
  if (file >= 0) close(file);
  if (bytes < 0) throw PgError(ERRCODE_IO_ERROR, "could not read file \"" + ServerFile() + "\"");
  return {text, static_cast<size_t>(bytes)};
}

}  // namespace

// Here nothing may be thrown but ereport's own: the server must not come up without the sign.
void NoteBackupLabel() {
  std::string const label = std::string(DataDir) + "/backup_label";
  if (!Exists(label) || !Exists(MemberDirectory() + "/journal.begun")) return;  // an earlier start may not have come to make it durable
  std::string const path = RejoinFile();
  int file = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  if (file < 0 && errno == EACCES) file = open(path.c_str(), O_RDONLY);  // somebody else has made it
  bool const done = file >= 0 && fsync(file) == 0;
  if (file >= 0) close(file);
  if (done) {
    fsync_fname(MemberDirectory().c_str(), true);
    return;
  }
  ereport(FATAL, (errcode_for_file_access(), errmsg("could not create file \"%s\": %m", path.c_str())));
}

const char* FindDoubt() {
  told_to_rejoin = Exists(RejoinFile());
  if (told_to_rejoin) return "it was started from a base backup, or its owner asks it to rejoin";
  std::string const server = ServerOfJournal();
  if (server.empty() || server == ThisServer()) return nullptr;
  return "its data directory is on another timeline, or of another server, than its journal";
}

void SettleDoubt() {
  std::string const now = ThisServer();
  if (ServerOfJournal() != now) WriteFileDurably(ServerFile(), core::AsBytes(now), 0600);
  if (!told_to_rejoin) return;  // one that was made meanwhile is for the next start
  if (unlink(RejoinFile().c_str()) == 0) Call([] { fsync_fname(MemberDirectory().c_str(), true); });
}

}  // namespace dadbs::pg
