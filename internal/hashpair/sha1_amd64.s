#include "textflag.h"

// An instruction of the SHA extensions computes four rounds and takes several cycles,
// and the next one needs its result. In these cycles the other message is processed.
//
// X0 and X1 hold a, b, c and d of the two messages, X2 to X5 their e in alternate
// rounds, X6 to X13 the four words of the message schedule of each.

DATA swap<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+8(SB)/8, $0x0001020304050607
GLOBL swap<>(SB), RODATA|NOPTR, $16

#define LOAD(m1, m2, off) \
	MOVOU off(SI), m1; \
	MOVOU off(DI), m2; \
	PSHUFB swap<>(SB), m1; \
	PSHUFB swap<>(SB), m2

// e1 and e2 are the e of these rounds; f1 and f2 become the e of the next ones.
#define NEXT(m1, m2, e1, e2, f1, f2, k) \
	SHA1NEXTE m1, e1; \
	SHA1NEXTE m2, e2; \
	MOVO X0, f1; \
	MOVO X1, f2; \
	SHA1RNDS4 k, e1, X0; \
	SHA1RNDS4 k, e2, X1

#define MSG1(a1, a2, m1, m2) \
	SHA1MSG1 m1, a1; \
	SHA1MSG1 m2, a2
#define XOR(a1, a2, m1, m2) \
	PXOR m1, a1; \
	PXOR m2, a2
#define MSG2(a1, a2, m1, m2) \
	SHA1MSG2 m1, a1; \
	SHA1MSG2 m2, a2

// m are the words of these rounds, n those of the next, q and p those after and
// before: their schedules advance beside the rounds.
#define FULL(m1, m2, n1, n2, q1, q2, p1, p2, e1, e2, f1, f2, k) \
	SHA1NEXTE m1, e1; \
	SHA1NEXTE m2, e2; \
	MOVO X0, f1; \
	MOVO X1, f2; \
	SHA1MSG2 m1, n1; \
	SHA1MSG2 m2, n2; \
	SHA1RNDS4 k, e1, X0; \
	SHA1RNDS4 k, e2, X1; \
	SHA1MSG1 m1, p1; \
	SHA1MSG1 m2, p2; \
	PXOR m1, q1; \
	PXOR m2, q2

// func blocks(h1, h2 *[5]uint32, p1, p2 *byte, n int)
TEXT ·blocks(SB), NOSPLIT, $64-40
	MOVQ h1+0(FP), AX
	MOVQ h2+8(FP), BX
	MOVQ p1+16(FP), SI
	MOVQ p2+24(FP), DI
	MOVQ n+32(FP), CX
	MOVOU (AX), X0
	MOVOU (BX), X1
	PSHUFD $0x1b, X0, X0
	PSHUFD $0x1b, X1, X1
	PXOR X2, X2
	PXOR X3, X3
	MOVL 16(AX), R8
	MOVL 16(BX), R9
	PINSRD $3, R8, X2
	PINSRD $3, R9, X3

loop:
	MOVOU X0, 0(SP)
	MOVOU X1, 16(SP)
	MOVOU X2, 32(SP)
	MOVOU X3, 48(SP)

	LOAD(X6, X7, 0)
	PADDL X6, X2
	PADDL X7, X3
	MOVO X0, X4
	MOVO X1, X5
	SHA1RNDS4 $0, X2, X0
	SHA1RNDS4 $0, X3, X1

	LOAD(X8, X9, 16)
	NEXT(X8, X9, X4, X5, X2, X3, $0)
	MSG1(X6, X7, X8, X9)

	LOAD(X10, X11, 32)
	NEXT(X10, X11, X2, X3, X4, X5, $0)
	MSG1(X8, X9, X10, X11)
	XOR(X6, X7, X10, X11)

	LOAD(X12, X13, 48)
	FULL(X12, X13, X6, X7, X8, X9, X10, X11, X4, X5, X2, X3, $0)
	FULL(X6, X7, X8, X9, X10, X11, X12, X13, X2, X3, X4, X5, $0)
	FULL(X8, X9, X10, X11, X12, X13, X6, X7, X4, X5, X2, X3, $1)
	FULL(X10, X11, X12, X13, X6, X7, X8, X9, X2, X3, X4, X5, $1)
	FULL(X12, X13, X6, X7, X8, X9, X10, X11, X4, X5, X2, X3, $1)
	FULL(X6, X7, X8, X9, X10, X11, X12, X13, X2, X3, X4, X5, $1)
	FULL(X8, X9, X10, X11, X12, X13, X6, X7, X4, X5, X2, X3, $1)
	FULL(X10, X11, X12, X13, X6, X7, X8, X9, X2, X3, X4, X5, $2)
	FULL(X12, X13, X6, X7, X8, X9, X10, X11, X4, X5, X2, X3, $2)
	FULL(X6, X7, X8, X9, X10, X11, X12, X13, X2, X3, X4, X5, $2)
	FULL(X8, X9, X10, X11, X12, X13, X6, X7, X4, X5, X2, X3, $2)
	FULL(X10, X11, X12, X13, X6, X7, X8, X9, X2, X3, X4, X5, $2)
	FULL(X12, X13, X6, X7, X8, X9, X10, X11, X4, X5, X2, X3, $3)
	FULL(X6, X7, X8, X9, X10, X11, X12, X13, X2, X3, X4, X5, $3)

	NEXT(X8, X9, X4, X5, X2, X3, $3)
	MSG2(X10, X11, X8, X9)
	XOR(X12, X13, X8, X9)
	NEXT(X10, X11, X2, X3, X4, X5, $3)
	MSG2(X12, X13, X10, X11)
	NEXT(X12, X13, X4, X5, X2, X3, $3)

	MOVOU 32(SP), X4
	MOVOU 48(SP), X5
	SHA1NEXTE X4, X2
	SHA1NEXTE X5, X3
	MOVOU 0(SP), X4
	MOVOU 16(SP), X5
	PADDL X4, X0
	PADDL X5, X1

	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ loop

	PSHUFD $0x1b, X0, X0
	PSHUFD $0x1b, X1, X1
	MOVOU X0, (AX)
	MOVOU X1, (BX)
	PEXTRD $3, X2, R8
	PEXTRD $3, X3, R9
	MOVL R8, 16(AX)
	MOVL R9, 16(BX)
	RET
