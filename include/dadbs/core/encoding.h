/*
 * encoding.h: the canonical byte encoding of everything that is hashed, signed or journaled.
 *
 * Integers are big-endian and of fixed width; a variable-length field is a u32 length and its bytes; nothing is
 * optional without a tag. There is one encoding of each value, and a decoder accepts no other (no trailing
 * bytes, no over-long lengths). docs/chain-format.md is the specification; this file is its implementation.
 */
#pragma once

#include "dadbs/core/types.h"

namespace dadbs::core {

class Writer {
 public:
  void U8(uint8_t v) { out_.push_back(v); }
  void U16(uint16_t v) { Int(v, 2); }
  void U32(uint32_t v) { Int(v, 4); }
  void U64(uint64_t v) { Int(v, 8); }
  void I64(int64_t v) { Int(static_cast<uint64_t>(v), 8); }
  void Raw(ByteView b) { out_.insert(out_.end(), b.begin(), b.end()); }
  void Blob(ByteView b) {  // u32 length, bytes
    U32(static_cast<uint32_t>(b.size()));
    Raw(b);
  }
  void Str(std::string_view s) { Blob(AsBytes(s)); }
  template <size_t N, class T>
  void Fixed(const FixedBytes<N, T>& f) { Raw(f.bytes); }
  template <class T, class R>
  void Num(Strong<T, R> n) { Int(n.value, sizeof(R)); }
  size_t size() const { return out_.size(); }
  void PatchU32(size_t at, uint32_t v) {
    for (int i = 0; i < 4; i++) out_[at + i] = static_cast<uint8_t>(v >> (24 - 8 * i));
  }
  void Reserve(size_t n) { out_.reserve(n); }
  const Bytes& bytes() const { return out_; }
  Bytes Take() { return std::move(out_); }
  void Clear() { out_.clear(); }  // keeps its memory

 private:
  void Int(uint64_t v, int width) {
    uint8_t bytes[8];
    for (int i = 0; i < width; i++) bytes[i] = static_cast<uint8_t>(v >> (8 * (width - 1 - i)));
    out_.insert(out_.end(), bytes, bytes + width);
  }
  Bytes out_;
};

// Reads what Writer wrote. After the first field that does not fit, every read gives zeros and ok() is false:
// check once, at the end. Views point into the input.
class Reader {
 public:
  explicit Reader(ByteView in) : in_(in) {}
  uint8_t U8() { return static_cast<uint8_t>(Int(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Int(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Int(4)); }
  uint64_t U64() { return Int(8); }
  int64_t I64() { return static_cast<int64_t>(Int(8)); }
  ByteView Raw(size_t n) {
    if (!ok_ || n > in_.size() - at_) return Fail(), ByteView{};
    ByteView v = in_.subspan(at_, n);
    at_ += n;
    return v;
  }
  ByteView Blob() { return Raw(U32()); }
  std::string_view Str() {
    ByteView b = Blob();
    return {reinterpret_cast<const char*>(b.data()), b.size()};
  }
  template <size_t N, class T>
  void Fixed(FixedBytes<N, T>& f) {
    ByteView v = Raw(N);
    if (v.size() == N) std::memcpy(f.bytes.data(), v.data(), N);
  }
  template <class T, class R>
  void Num(Strong<T, R>& n) { n.value = static_cast<R>(Int(sizeof(R))); }
  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }
  bool at_end() const { return at_ == in_.size(); }
  bool Done() const { return ok_ && at_end(); }
  size_t offset() const { return at_; }
  size_t remaining() const { return in_.size() - at_; }

 private:
  uint64_t Int(size_t width) {
    ByteView v = Raw(width);
    uint64_t r = 0;
    for (uint8_t b : v) r = r << 8 | b;
    return r;
  }
  ByteView in_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace dadbs::core
