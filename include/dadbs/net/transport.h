/*
 * transport.h: authenticated, encrypted, framed channels between members over libuv.
 *
 * One thread, driven by its owner, in a loop:
 *     events = Poll(now); handle them, Send(...); Poll again while NextTimeoutMs() is 0;
 *     wait for backend_fd() to be readable, at most NextTimeoutMs().
 * Poll is safe to call at any time and must run before each wait (libuv registers its watchers in it). Send queues:
 * Flush, or the next Poll, encrypts what is queued for a peer together and writes it at once.
 *
 * TLS 1.3 through OpenSSL memory BIOs; both sides show certificates self-signed with their node's Ed25519 key, pinned
 * to the membership. Per peer two TCP connections may exist for a moment (both dial): the one dialled by the smaller id
 * stays. Frames: u32 length (checked before memory is taken), protobuf envelope. Per-peer send queues are bounded:
 * beyond the bound the oldest message that the protocol sends again anyway goes. Messages to a peer that isn't
 * connected are dropped: the replica sends what matters again when it hears Connected. Callbacks only append to bounded
 * buffers; a stranger costs at most a bounded number of half-open connections.
 */
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dadbs/core/messages.h"

namespace dadbs::net {

struct TransportOptions {
  std::string listen_host;   // numeric or name; "" for all
  uint16_t listen_port = 0;  // 0: any free one
  core::NodeId self;
  core::Bytes seed;          // 32 bytes, the node's Ed25519 seed
  core::Digest chain_id;     // zero while joining
  uint64_t send_queue_bytes_max = 256u << 20;
  uint32_t frame_bytes_max = 640u << 20;
  int64_t connect_timeout_us = 5'000'000;     // TCP, and again for TLS and hello together
  int64_t reconnect_min_us = 100'000, reconnect_max_us = 3'000'000;
  int64_t ping_after_us = 3'000'000;          // of silence
  int64_t silence_max_us = 10'000'000;        // then the connection is given up
  uint32_t half_open_max = 64;                // accepted connections that have not said who they are
  uint32_t accepts_per_second_max = 200;
  uint16_t protocol_version = core::kProtocolVersion;
};

struct PeerInfo {
  core::NodeId id;
  std::string name, host;
  uint16_t port = 0;
  core::PublicKey key;
};

struct Received { core::NodeId from; core::Message message; };
struct Connected { core::NodeId peer; };
struct Disconnected { core::NodeId peer; std::string why; };
struct Refused { std::string address, why; };                 // a stranger, another chain, another version, garbage
// While joining: what the founder answered. And the founder's side: a member of the genesis asked.
struct GenesisReceived { core::Bytes genesis; };
using Event = std::variant<Received, Connected, Disconnected, Refused, GenesisReceived>;

struct PeerStats {
  core::NodeId id;
  bool connected = false;
  int64_t last_seen_us = 0;
  int64_t connected_since_us = 0;
  uint64_t bytes_sent = 0, bytes_received = 0, queued_bytes = 0, messages_sent = 0, messages_received = 0, dropped = 0;
  std::string last_error;
};

class Transport {
 public:
  // `genesis`: served to a joiner whose key is among the peers'. The environment is what the hello compares
  // ("collation", "C.UTF-8"...): a peer that differs is refused, naming what.
  static std::unique_ptr<Transport> Create(const TransportOptions& options, std::vector<PeerInfo> peers,
                                           std::vector<std::pair<std::string, std::string>> environment,
                                           core::Bytes genesis, std::string* error);
  // A joiner: dials the founder only, pinned by `founder.key`, asks for the genesis (GenesisReceived) and is destroyed.
  static std::unique_ptr<Transport> CreateJoining(const TransportOptions& options, PeerInfo founder,
                                                  std::string* error);
  virtual ~Transport() = default;
  virtual int backend_fd() const = 0;
  virtual int NextTimeoutMs() const = 0;                     // 0: Poll again first; -1: no limit
  virtual std::vector<Event> Poll(int64_t now_us) = 0;       // runs the loop without waiting; now_us is for stats only
  virtual void Send(core::NodeId to, const core::Message& message) = 0;   // kNobody: all connected peers; encoded once
  virtual void SendFrame(core::NodeId to, core::Bytes frame) = 0;         // an EncodeFrame of a BlockMessage
  virtual void Flush() = 0;                                  // writes what Send has queued, after a round of Sends
  virtual void SetIsolated(bool isolated) = 0;               // closes and refuses all links (tests, emergencies)
  // Loses without a trace what these peers send, as a network does that lost its way from there (tests).
  virtual void SetDeaf(const std::vector<core::NodeId>& peers) = 0;
  virtual std::vector<PeerStats> stats() const = 0;
  virtual uint64_t refused_count() const = 0;                // connections: strangers, other chains, garbage, floods
  virtual uint16_t listen_port() const = 0;
};

// Decoding of untrusted bytes, exposed for tests and fuzzing. False: refused, `why` says what.
core::Bytes EncodeMessage(const core::Message& message);
// As it goes to a peer, length in front. For who makes a message in another process than the one that sends it.
core::Bytes EncodeFrame(const core::Message& message);
bool DecodeMessage(core::ByteView bytes, core::Message* out, std::string* why);

}  // namespace dadbs::net
