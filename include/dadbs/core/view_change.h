/*
 * view_change.h: VIEW-CHANGE and NEW-VIEW: what is signed, how it is proved, and what follows from it.
 *
 * A VIEW-CHANGE for view v is a promise to vote in no view below v, and a true account of where its signer stands: the
 * certified head of its chain and, if it has seen one, the prepare certificate of the highest view for the height above.
 * A NEW-VIEW is q of them. Its outcome follows from them alone, so everybody computes the same: the view begins above
 * the highest head; the height above that head is bound to the block that was prepared there in the highest view, if
 * any was; all other heights are free.
 *
 * Why that is enough: a block that was, or ever will be, certified below view v has q COMMITs, f + 1 of them by honest
 * members whose VIEW-CHANGEs came later (they vote below v no more), and one of these is among any q. It shows a head at
 * or above the block, or the block as prepared; and nothing else can be prepared there in a later view.
 */
#pragma once

#include <functional>

#include "dadbs/core/chain.h"

namespace dadbs::core {

struct ViewChange {
  View view;                            // the one that is asked for
  Height height;                        // of the head
  Digest hash;                          // of the head; the chain id at height 0
  std::optional<Certificate> head;      // its COMMITs; none at height 0
  std::optional<Certificate> prepared;  // PREPAREs for height + 1, of a view below
  Signed envelope;

  Bytes SigningBytes(const SignContext& ctx) const;
  void Encode(Writer& w) const;
  bool Decode(Reader& r);
};

struct NewView {
  View view;
  std::vector<ViewChange> proof;  // for this view, ascending by signer; at least q
  Signed envelope;                // of the view's primary

  Bytes SigningBytes(const SignContext& ctx) const;
  void Encode(Writer& w) const;
  bool Decode(Reader& r);
};

// What a view begins with.
struct ViewStart {
  Height height;                           // the highest head: nothing is voted for at or below it in this view
  Digest hash;
  const Certificate* prepared = nullptr;   // height + 1 is bound to its block; null: free. Lives in the proof
};
ViewStart StartOf(const NewView& new_view);

NodeId PrimaryOf(const Genesis& genesis, View view);

// Empty: sound, else what is wrong. `is_known` says of a VIEW-CHANGE that this very one has been checked before.
std::string CheckViewChange(const ViewChange& v, const Genesis& genesis, const Verifier& verifier);
using IsKnown = std::function<bool(const ViewChange&)>;
std::string CheckNewView(const NewView& v, const Genesis& genesis, const Verifier& verifier, const IsKnown& is_known);

}  // namespace dadbs::core
