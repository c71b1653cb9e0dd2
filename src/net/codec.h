/*
 * codec.h: what goes over a channel, between core's messages and the protobuf envelope of proto/dadbs.proto.
 *
 * Decoding takes bytes from anybody: every length, count and range is checked, memory is bounded by the frame's size,
 * and the answer to what doesn't fit is a reason, never an exception.
 */
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "dadbs/core/messages.h"

namespace dadbs::net {

inline constexpr size_t kFrameHeaderBytes = 4;
inline constexpr size_t kEnvironmentPairsMax = 256;

using Environment = std::vector<std::pair<std::string, std::string>>;

struct Hello {
  uint32_t protocol_version = 0;
  core::Digest chain_id;
  core::NodeId node;
  bool joining = false;
  Environment environment;
};
struct GenesisAnswer {
  core::Bytes genesis;
};
struct Ping {};
struct Pong {};
using WireMessage = std::variant<core::Message, Hello, GenesisAnswer, Ping, Pong>;

core::Bytes EncodeFrame(const WireMessage& message);  // u32 length and envelope
core::Bytes EncodeFrame(const core::Message& message);
bool DecodeEnvelope(core::ByteView bytes, WireMessage* out, std::string* why);

}  // namespace dadbs::net
