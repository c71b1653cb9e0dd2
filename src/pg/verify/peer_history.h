/*
 * peer_history.h: what a peer's history says of each block from some height on, one after the other (core/outcomes.h). Nothing of it
 * is believed here.
 *
 * One process of a server asks at a time. Answers wait in shared memory (ipc.h, HistoryFetch), so a peer is as slow as it is, and no more
 * than a piece of 256 kB comes unasked.
 */
#pragma once

#include "dadbs/core/messages.h"
#include "dadbs/pg/ipc.h"

namespace dadbs::pg::verify {

class PeerHistory {
 public:
  // Throws PgError (55006) where another process asks.
  PeerHistory(core::NodeId peer, core::HistoryPart part, core::Height from);
  ~PeerHistory();
  PeerHistory(const PeerHistory&) = delete;
  PeerHistory& operator=(const PeerHistory&) = delete;

  // Of the next height. False: the peer has no more, is too slow to be waited for, or sends what is no stream.
  bool Next(core::Bytes* element);

 private:
  bool Ask();
  bool IsTooSlow() const;

  core::NodeId peer_;
  core::HistoryPart part_;
  core::Height next_;
  uint64_t offset_ = 0;
  core::Bytes stream_;     // that was not taken yet
  size_t taken_ = 0;
  int64 begun_us_;         // MonotonicUs
  uint64_t bytes_ = 0, elements_ = 0;  // that have come
};

}  // namespace dadbs::pg::verify
