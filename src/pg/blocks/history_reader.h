/*
 * history_reader.h: what came of blocks, or the blocks as they are stored, as one stream of bytes in pieces, for a peer that mends its
 * own history: of each height from the asked one on a u32 length and core::BlockOutcomes or core::StoredBlock.
 */
#pragma once

#include "dadbs/core/messages.h"

namespace dadbs::pg {

// What consensus wants from the blocks worker.
struct Order {
  uint64_t number = 0, from = 0;
  uint32_t count = 0;
  uint8_t part = 0;  // core::HistoryPart; 0: blocks for one that catches up
  uint64_t offset = 0, peers_number = 0;
};

class HistoryReader {
 public:
  // In transactions of its own. Shorter than a piece may be where the history ends, or enough heights were read.
  core::HistoryMessage Piece(const Order& order);
  void Forget() { element_ = {}; }  // nobody asks for more of it

 private:
  const core::Bytes& ElementOf(core::HistoryPart part, core::Height height);

  // The last one that was not given whole: large ones are asked for piece by piece.
  core::HistoryPart part_ = core::HistoryPart::kOutcomes;
  core::Height height_;
  core::Bytes element_;  // with its length; empty: there is none
};

}  // namespace dadbs::pg
