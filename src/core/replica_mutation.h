/*
 * replica_mutation.h: deliberate mistakes, to show that the simulator's checkers find them (dadbs_sim --mutations).
 *
 * Only the simulator's own build of the replica knows them; everywhere else MUTATED(...) is false at compile time.
 */
#pragma once

namespace dadbs::core {

enum class Mutation {
  kNone,
  kVoteBeforeJournal,       // a vote leaves before its record is durable
  kQuorumOffByOne,          // q - 1 votes are taken for a quorum
  kProposalUnjournaled,     // the primary's proposal is not in the journal
  kBatchUnheld,             // votes for batches that it has never seen
  kBatchUnjournaled,        // votes for batches that are held in memory only
  kIncarnationUnchecked,    // contiguity and incarnations of batches are not checked
  kCertificateUnchecked,    // votes of a certificate are counted, not compared and verified
  kFetchedUnchecked,        // blocks that were asked for are believed
  kDeliverBeforeJournal,    // a block is delivered before its record is durable
  kIncarnationReused,       // a restart goes on in the old incarnation
  kVoteSignatureUnchecked,  // votes are believed without their signature
  kBodyUnchecked,           // a batch's body is not compared with its header
  kPreparedForgotten,       // a VIEW-CHANGE does not say what its signer had prepared
  kPreparedUnchecked,       // a VIEW-CHANGE's prepare certificate is believed
  kNewViewQuorumOffByOne,   // q - 1 VIEW-CHANGEs prove a view
  kViewChangeUnjournaled,   // the promise of a VIEW-CHANGE is not in the journal
  kBindingIgnored,          // in a new view, any block is voted for
  kTimerDoublesForEver,     // no cap, and progress does not reset it
  kJoinThisViewOnly,        // f + 1 for one view, in place of f + 1 that exceed
  kAmnesiaUnchecked,        // whatever shows that memory was lost is ignored
  kLearnerInMemory,         // that memory was lost is not in the journal
};

#ifdef DADBS_MUTATIONS
inline Mutation active_mutation = Mutation::kNone;
#define MUTATED(name) (::dadbs::core::active_mutation == ::dadbs::core::Mutation::name)
#else
#define MUTATED(name) false
#endif

}  // namespace dadbs::core
