#include "dadbs/core/quorum.h"

#include <gtest/gtest.h>

namespace dadbs::core {
namespace {

TEST(Quorum, FirstTen) {
  const size_t expected[] = {1, 2, 2, 3, 4, 4, 5, 6, 6, 7};
  for (size_t n = 1; n <= 10; n++) EXPECT_EQ(QuorumSize(n), expected[n - 1]) << n;
}

// With f = floor((n-1)/3): two quorums share an honest member, and the honest members alone are a quorum. And q is no
// larger than that takes.
TEST(Quorum, IntersectionAndAvailability) {
  for (size_t n = 1; n <= 1000; n++) {
    const size_t f = FaultsTolerated(n), q = QuorumSize(n);
    ASSERT_LT(3 * f, n) << n;
    ASSERT_GE(3 * (f + 1), n) << n;
    ASSERT_GE(2 * q, n + f + 1) << n;
    ASSERT_LT(2 * (q - 1), n + f + 1) << n;
    ASSERT_GE(n - f, q) << n;
    ASSERT_LE(q, n) << n;
  }
}

}  // namespace
}  // namespace dadbs::core
