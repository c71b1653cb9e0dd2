/*
 * model_database.h: the tables of a simulated member, as small as they can be: a few rows, and transactions whose verdicts and
 * effects depend on them. The same blocks on the same rows give the same outcomes; after a row was flipped, silently, outcomes
 * differ from the next transaction on that needs it and shows it.
 */
#pragma once

#include <array>
#include <vector>

#include "dadbs/core/messages.h"
#include "dadbs/core/write_set.h"

namespace dadbs::sim {

// What a write set does: it reads one row and writes it.
struct Work {
  size_t row = 0;
  uint64_t value = 0;
};

struct Outcome {
  core::Verdict verdict;
  uint64_t key = 0;
  uint64_t effect = 0;  // a contract's; 0: it writes none
};

inline constexpr size_t kModelRows = 4;

inline std::vector<Work> WorkOf(const std::vector<std::shared_ptr<const core::Batch>>& batches) {
  std::vector<Work> all;
  for (const auto& batch : batches)
    for (const core::Bytes& write_set : batch->write_sets) {
      const core::Digest id = core::WriteSetIdentity(write_set);
      Work work{id.bytes[0] % kModelRows, 0};
      for (size_t i = 1; i <= 8; i++) work.value = work.value << 8 | id.bytes[i];
      all.push_back(work);
    }
  return all;
}

// What a member has come to.
struct Tables {
  std::array<uint64_t, kModelRows> rows{};
  core::EffectsDigest effects;  // with its height
  uint64_t history = 0;         // all outcomes, folded once more: the auditor's word for it

  explicit Tables(const core::Digest& chain_id) : effects(core::Height{}, chain_id) {}
  core::Height height() const { return effects.height(); }
  void Flip(size_t row, uint64_t by) { rows[row] ^= by; }

  void Execute(const std::vector<Work>& block) {
    effects.BeginBlock(height().next());
    Fold(1);
    for (size_t i = 0; i < block.size(); i++) {
      const Outcome o = Run(block[i]);
      const auto index = static_cast<uint32_t>(i);
      effects.AddTransaction(index, o.verdict, o.verdict == core::Verdict::kCommitted ? View(o.key) : core::ByteView{});
      if (o.effect != 0) effects.AddEffect(index, "audit", View(o.effect));
      Fold(static_cast<uint64_t>(o.verdict)), Fold(o.key), Fold(o.effect);
    }
  }

 private:
  static core::ByteView View(const uint64_t& number) { return {reinterpret_cast<const uint8_t*>(&number), sizeof(number)}; }
  // No two values of the row ever become one again.
  Outcome Run(const Work& work) {
    uint64_t& row = rows[work.row];
    if ((row ^ work.value) % 4 == 0) return {core::Verdict::kConflict};
    row = row * 0x9E3779B97F4A7C15ull + work.value;
    return {core::Verdict::kCommitted, work.row, work.value % 2 == 0 ? row | 1 : 0};
  }
  void Fold(uint64_t value) { history = (history ^ value) * 0xFF51AFD7ED558CCDull, history ^= history >> 29; }
};

}  // namespace dadbs::sim
