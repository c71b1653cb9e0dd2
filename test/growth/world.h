/*
 * world.h: n members that order blocks, in virtual time: how long it takes, and how much they send and compute.
 *
 * The replicas are the real ones. A member has one processor, one link into the network and one out of it, and one disk, each
 * with a queue: its processor works for as long as the signatures, verifications, hashes and messages of an event cost where they
 * were measured (costs.h); what leaves together leaves one after the other at the link's rate, is under way for the latency, and
 * comes in at the receiver's rate; what was appended to the journal is durable after a sync. Sizes are those of the wire format
 * with what TLS, TCP, IP and Ethernet add. There are no losses, and apply costs nothing.
 */
#pragma once

#include <deque>
#include <memory>
#include <queue>
#include <vector>

#include "costs.h"
#include "dadbs/core/replica.h"

namespace dadbs::growth {

struct Setting {
  size_t members = 4;
  size_t writers = 0;               // 0: all; else the last ones, and the primary is the first
  uint64_t write_set_bytes = 1'000;
  double bits_per_us = 1'000;       // up, and down
  int64_t sync_us = 1'000;
  double disk_bytes_per_us = 500;
};

struct Load {
  uint64_t bytes = 1'000'000;  // submitted at once, by all writers alike
  int64_t latency_us = 50'000;
  int rounds = 5;              // and one before them that does not count
};

// Of one load, until all members have delivered all of it.
struct Round {
  int64_t first_us = 0, median_us = 0, last_us = 0;  // the first, middle and last member to have delivered all
  uint64_t blocks = 0;
  uint64_t messages = 0, bytes = 0;                  // of all members; heartbeats not counted
  uint64_t heartbeats = 0;
  int64_t busy_us = 0, busiest_us = 0;               // processor time of a member: mean, and the largest
  Work work;                                         // of all members
  double host_us = 0;                                // processor time of this process, per member: the replica's own work
  uint64_t view = 0;
};

class World {
 public:
  World(const Setting& setting, const Costs& costs);
  ~World();
  void Start();
  std::vector<Round> Measure(const Load& load);

 private:
  using Payload = std::shared_ptr<const core::Message>;
  enum class Kind : uint8_t { kArrival, kDurable, kTick, kWake, kSubmit };
  struct Event {
    int64_t at = 0;
    uint64_t order = 0;
    Kind kind = Kind::kTick;
    uint16_t member = 0, from = 0;
    uint32_t bytes = 0;
    uint64_t sequence = 0;
    Payload payload;
    bool operator>(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  struct Member {
    std::unique_ptr<core::Signer> signer;
    std::unique_ptr<core::Replica> replica;
    std::deque<Event> arrivals, own;  // for its processor, in the order of `at`: from others; ticks, syncs, clients
    int64_t cpu_free = 0, up_free = 0, down_free = 0, disk_free = 0;
    int64_t busy_us = 0;
    int64_t wakes_at = -1;     // an event for its processor is under way
    uint64_t appended = 0, appended_bytes = 0;
    bool is_syncing = false;
    uint64_t to_submit = 0;
    uint64_t delivered = 0;    // transactions of the load
    int64_t done_at = 0;
  };

  core::NodeId IdOf(size_t place) const { return core::NodeId{static_cast<uint16_t>(place + 1)}; }
  int64_t Wall(int64_t at) const { return 1'700'000'000'000'000 + at; }
  void Push(Event event);
  void Step();
  void Arrive(Event event);
  void ToProcessor(Event event);
  void WakeAt(size_t place, int64_t at);
  std::deque<Event>* NextOf(Member& member) const;
  void RunProcessor(size_t place);
  void Handle(size_t place, Event& event, int64_t* at);
  void Charge(int64_t* at);
  void Carry(size_t place, core::Effects effects, int64_t* at);
  void Send(size_t place, core::NodeId to, core::Message message, int64_t* at);
  void Submit(size_t place, int64_t* at);
  void SyncLater(size_t place, int64_t at);
  void RunUntil(int64_t until);
  bool AllOpen() const;
  Round RunLoad(uint64_t share);
  core::ReplicaLimits Limits() const;

  Setting setting_;
  Costs costs_;
  core::Genesis genesis_;
  sim::SignatureTable table_;
  CountingVerifier verifier_{&table_};
  std::vector<std::unique_ptr<Member>> members_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t order_ = 0, ticket_ = 0;
  int64_t now_ = 0, latency_us_ = 0;
  uint64_t rounds_ = 0;
  uint64_t load_ = 0;      // transactions of the round
  size_t done_ = 0;        // members that have delivered all of them
  Round round_;
};

}  // namespace dadbs::growth
