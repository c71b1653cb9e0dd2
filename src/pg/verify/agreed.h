/*
 * agreed.h: what the group has come to, and what this member's history says of it.
 */
#pragma once

#include <optional>
#include <vector>

#include "dadbs/core/outcomes.h"
#include "dadbs/pg/member.h"
#include "history.h"

namespace dadbs::pg::verify {

struct Agreed {
  core::Height height;
  core::Digest digest;
  std::vector<core::NodeId> signers;
};

// A height from `least` on for which q members have signed one digest, `applied_here`: which this member has applied by then. Only the last
// one of each is known at a time, so they are watched for a while: all come to each 64th block, and to the last one where the chain stands still.
std::optional<Agreed> AwaitAgreedDigest(const Member& member, core::Height least, bool applied_here, long wait_ms);
// Is a digest of a height from `least` on that a quorum has signed this member's, too? False: it differs, or nobody knows until the time is over.
bool AwaitOwnAgreement(const Member& member, core::Height least, long wait_ms);

// Of each height in turn, as the active snapshot shows it.
class OwnOutcomes {
 public:
  OwnOutcomes(core::Height from, core::Height to);
  core::BlockOutcomes Next();

 private:
  core::Height next_;
  Cursor transactions_, effects_;
};

}  // namespace dadbs::pg::verify
