/*
 * capture_messages.h: the logical WAL messages by which backends speak to the capture worker (prefix kMessagePrefix).
 *
 *   'R' ready         non-transactional: `xid` waits in COMMIT; which relations it changed, and how often
 *   'L' lone changes  non-transactional: canonical bytes of one DdlChange, or of CallChanges, that take their turn first
 *   'C' change        transactional: canonical bytes of a 'Q', 'S' or 'K' change, a part of the write set in its order
 *
 * Anybody may call pg_logical_emit_message, so each message ends in an HMAC-SHA256 under shared->secret, which is new
 * at each start of the server. Besides that a message counts only if the slot of its backend waits for just that hold.
 * Layout: u8 kind, body by core::Writer, 32 bytes MAC over all before it.
 */
#pragma once

#include <optional>

#include "dadbs/core/encoding.h"
#include "dadbs/core/types.h"
#include "dadbs/core/write_set.h"

namespace dadbs::pg {

inline constexpr char kMessagePrefix[] = "dadbs";
inline constexpr size_t kMacBytes = 32;

// What the backend counted for one relation. Of a truncated one: since its last TRUNCATE.
struct RelationCount {
  uint32_t relation = 0;
  bool ignored = false;  // not shared, or dropped again: its changes are no part of the write set
  bool truncated = false;
  uint64_t inserted = 0, updated = 0, deleted = 0;
};

struct ReadyMessage {
  uint32_t procno = 0;
  uint32_t hold = 0;
  uint32_t xid = 0;
  uint32_t emitted = 0;  // 'C' messages that survive
  uint32_t flags = 0;    // core::WriteSetFlags that the backend knows of
  int64_t begun_at_us = 0;
  std::string user, application_name;
  std::vector<uint32_t> children;  // committed subtransactions
  std::vector<RelationCount> relations;
};

struct LoneMessage {
  uint32_t procno = 0;
  uint32_t hold = 0;
  core::WriteSetKind kind = core::WriteSetKind::kLoneDdl;
  int64_t begun_at_us = 0;
  std::string user, application_name;
  std::vector<core::ByteView> changes;  // into the message
};

struct ChangeMessage {
  uint32_t xid = 0;       // of the top transaction
  core::ByteView change;  // into the message
};

core::Bytes EncodeReady(const ReadyMessage& m, core::ByteView secret);
core::Bytes EncodeLone(const LoneMessage& m, core::ByteView secret);
core::Bytes EncodeChangeMessage(const ChangeMessage& m, core::ByteView secret);

// The kind of a message whose MAC is right; 0 otherwise.
char CheckMessage(core::ByteView message, core::ByteView secret);
// The parts of a message that CheckMessage accepted.
std::optional<ReadyMessage> DecodeReady(core::ByteView message);
std::optional<LoneMessage> DecodeLone(core::ByteView message);
std::optional<ChangeMessage> DecodeChangeMessage(core::ByteView message);

}  // namespace dadbs::pg
