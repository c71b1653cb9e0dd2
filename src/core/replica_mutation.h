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
  kCutCommitRefused,        // a journal that begins with a COMMIT whose proposal was cut is taken for damaged
  kEvidenceSignatureUnchecked,  // of evidence, the signatures are believed
  kEvidenceViewIgnored,     // votes of two views count as a contradiction
  kEvidenceNumbersIgnored,  // batches that follow each other do
  kEvidenceSameHashAccepted,  // the same vote or batch twice does
  kEvidenceItemsBelieved,   // the items of an accused block are those that the accuser says
  kEvidenceParentBelieved,  // and so is its parent
  kEvidenceDropped,         // two votes in one slot are rejected, and that is all
  // Those that only scenarios find.
  kRelayNothing,            // the primary is not handed what it lacks
  kTimersOnGaps,            // a batch is waited for that cannot be ordered yet
  kParentTimeIgnored,       // a block's time is held against the own clock only
  kTimeUnchecked,           // and against nothing
  kBoundTimeChecked,        // also that of a block which the view is bound to
  kClaimsBelieved,          // one member's word for a height
  kLargeBatchUnacked,       // a large batch is named before a quorum holds it
  kOneClaimBelieved,        // one member's word that this one has forgotten
  kJoinOnOneWord,           // a view is joined on the word of one
  kPromisesCounted,         // VIEW-CHANGEs of one member count twice
  kClockWithoutQuorum,      // the primary is given up by who reaches no quorum
  kNeverFenced,             // a second server with the same key is not minded
  kFirstPreparedWins,       // of two prepared blocks a view is bound to any
  kNoSecondEntry,           // who comes back waits for others' blocks
  kOthersIgnored,           // who does not reach the primary does not look whether others do
  kViewHelpOmitted,         // a NEW-VIEW is sent once
  kPassedOverIgnored,       // a primary may leave out whom it likes
  kRoundNotResent,          // votes are sent once
  kEvidenceIncarnationIgnored,  // votes of two incarnations count as a contradiction
  kPrimarysVoteUntold,      // who has accepted another block than others is not shown what the primary has signed
  // Of digests; the last one only scenarios find.
  kDigestQuorumOffByOne,    // q - 1 members with another digest are taken for a quorum
  kOwnDigestTwice,          // the own digest counts for two
  kOwnDigestUncounted,      // it counts for none
  kUnsaidIgnored,           // who has said no digest yet is not waited for
  kReplacedDigestCounts,    // a digest counts on when its member has said another one of the same height
  kDigestHeightUnbound,     // a digest is held against the own last one, of whatever height
  kDigestSignatureUnchecked,  // digests are believed whoever says and signs them
  kAgreedUnequal,           // a quorum with one digest is agreed with, whatever the own one is
  kDigestBeforeDurable,     // a digest is said before it is durable
  kFindingForgotten,        // that it differs is forgotten in a restart
  kDivergedWrites,          // who knows that it differs takes writes
  kOrderWaitsForDigests,    // a primary does not go on where no quorum has signed a digest for a while
  kDigestSaidOnce,          // a digest is sent once, and not again
};

#ifdef DADBS_MUTATIONS
inline Mutation active_mutation = Mutation::kNone;
#define MUTATED(name) (::dadbs::core::active_mutation == ::dadbs::core::Mutation::name)
#else
#define MUTATED(name) false
#endif

}  // namespace dadbs::core
