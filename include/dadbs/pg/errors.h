/*
 * errors.h: the SQLSTATEs that dadbs gives, one list; docs/limitations.md shows it to users.
 *
 * Standard codes where one fits (40001, 40003, 0A000, 55000, 57014, 54000, 42501, 25001); the class DA is ours.
 */
#pragma once

extern "C" {
#include "postgres.h"
#include "utils/errcodes.h"
}

namespace dadbs::pg {

inline constexpr int kErrConflict = ERRCODE_T_R_SERIALIZATION_FAILURE;          // 40001: lost, retry
inline constexpr int kErrUnknown = ERRCODE_T_R_STATEMENT_COMPLETION_UNKNOWN;    // 40003: see transaction_status(id)
inline constexpr int kErrNotSupported = ERRCODE_FEATURE_NOT_SUPPORTED;          // 0A000
inline constexpr int kErrState = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;      // 55000
inline constexpr int kErrNoQuorum = MAKE_SQLSTATE('D', 'A', '0', '0', '1');     // writes are refused: no quorum
inline constexpr int kErrNotReady = MAKE_SQLSTATE('D', 'A', '0', '0', '2');     // this member is starting or catching up
inline constexpr int kErrHalted = MAKE_SQLSTATE('D', 'A', '0', '0', '3');       // a broken invariant or a damaged journal
inline constexpr int kErrNotConfigured = MAKE_SQLSTATE('D', 'A', '0', '0', '4');  // no cluster here
inline constexpr int kErrInvalidWriteSet = MAKE_SQLSTATE('D', 'A', '0', '0', '5');  // verdict invalid
inline constexpr int kErrDiverged = MAKE_SQLSTATE('D', 'A', '0', '0', '6');     // other tables than the others: no writes

}  // namespace dadbs::pg
