#include "dadbs/core/encoding.h"

#include <gtest/gtest.h>

namespace dadbs::core {
namespace {

TEST(Encoding, BytesAreBigEndianAndPrefixed) {
  Writer w;
  w.U8(0x01);
  w.U16(0x0203);
  w.U32(0x04050607);
  w.U64(0x08090a0b0c0d0e0full);
  w.I64(-2);
  w.Num(NodeId{0x1011});
  w.Num(Height{0x12});
  w.Str("ab");
  w.Blob(Bytes{});
  EXPECT_EQ(ToHex(w.bytes()),
            "01"
            "0203"
            "04050607"
            "08090a0b0c0d0e0f"
            "fffffffffffffffe"
            "1011"
            "0000000000000012"
            "000000026162"
            "00000000");
}

TEST(Encoding, RoundTrip) {
  Writer w;
  Digest digest;
  digest.bytes.fill(0xab);
  w.U8(255);
  w.U16(65535);
  w.U32(UINT32_MAX);
  w.U64(UINT64_MAX);
  w.I64(INT64_MIN);
  w.Fixed(digest);
  w.Num(NodeId{7});
  w.Str("text");
  Reader r(w.bytes());
  EXPECT_EQ(r.U8(), 255);
  EXPECT_EQ(r.U16(), 65535);
  EXPECT_EQ(r.U32(), UINT32_MAX);
  EXPECT_EQ(r.U64(), UINT64_MAX);
  EXPECT_EQ(r.I64(), INT64_MIN);
  Digest read;
  r.Fixed(read);
  EXPECT_EQ(read, digest);
  NodeId node;
  r.Num(node);
  EXPECT_EQ(node, NodeId{7});
  EXPECT_EQ(r.Str(), "text");
  EXPECT_TRUE(r.Done());
}

TEST(Encoding, PatchOverwritesInPlace) {
  Writer w;
  w.U8(9);
  w.U32(0);
  w.U8(9);
  w.PatchU32(1, 0x01020304);
  EXPECT_EQ(ToHex(w.bytes()), "090102030409");
}

TEST(Encoding, ReadingPastTheEndFailsForGood) {
  const Bytes three = {1, 2, 3};
  Reader r(three);
  EXPECT_EQ(r.U16(), 0x0102);
  EXPECT_EQ(r.U32(), 0u);
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.U8(), 0);  // although a byte is left
  EXPECT_FALSE(r.Done());
}

TEST(Encoding, LengthBeyondTheInputGivesNothing) {
  const Bytes lying = {0xff, 0xff, 0xff, 0xff, 'a'};
  Reader r(lying);
  EXPECT_TRUE(r.Blob().empty());
  EXPECT_FALSE(r.ok());
}

TEST(Encoding, TrailingBytesAreNotDone) {
  const Bytes two = {1, 2};
  Reader r(two);
  r.U8();
  EXPECT_TRUE(r.ok());
  EXPECT_FALSE(r.Done());
}

}  // namespace
}  // namespace dadbs::core
