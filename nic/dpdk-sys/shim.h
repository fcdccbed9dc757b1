/*
 * DPDK's data path is `static inline` C, which no linker can see. Each function
 * here is one of those inlines (or a thread-local, or a macro with a cast) given
 * a symbol. No logic of ours: what a function does is what DPDK's manual says of
 * the call in its body.
 *
 * A call through here costs about 3.5 cycles: free for a burst, dear per packet.
 * That is why allocation and free come in bulk.
 */
#ifndef FOURTUPLE_SHIM_H
#define FOURTUPLE_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

/* Thread-locals. */
int shim_errno(void);
unsigned int shim_lcore_id(void);

/* Time. */
uint64_t shim_rdtsc(void);

/* Bursts. */
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
uint16_t shim_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);

/* Mbufs: allocation, reference count, attachment. */
struct rte_mbuf *shim_alloc(struct rte_mempool *pool);
int shim_raw_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n);
void shim_free(struct rte_mbuf *m);
void shim_free_bulk(struct rte_mbuf **mbufs, unsigned int n);
void shim_raw_free(struct rte_mbuf *m);
uint16_t shim_refcnt_read(const struct rte_mbuf *m);
uint16_t shim_refcnt_update(struct rte_mbuf *m, int16_t delta);
void shim_attach(struct rte_mbuf *indirect, struct rte_mbuf *direct);
void shim_attach_extbuf(struct rte_mbuf *m, void *buffer, rte_iova_t iova, uint16_t len,
			struct rte_mbuf_ext_shared_info *shared);
struct rte_mbuf_ext_shared_info *shim_ext_shinfo_init(void *buffer, uint16_t *len,
						       rte_mbuf_extbuf_free_callback_t callback,
						       void *opaque);
void shim_reset(struct rte_mbuf *m);

/* Mempools. */
struct rte_mempool_cache *shim_mempool_default_cache(struct rte_mempool *pool, unsigned int lcore);
unsigned int shim_pktmbuf_data_room(struct rte_mempool *pool);

/* Objects that lie in the cache of one lcore, and those that lie in no cache. */
unsigned int shim_mempool_cached(struct rte_mempool *pool, unsigned int lcore);
unsigned int shim_mempool_shared(struct rte_mempool *pool);

/* Rings. */
unsigned int shim_ring_dequeue_burst(struct rte_ring *ring, void **objects, unsigned int n);

/*
 * Configures a port with `queues` queue pairs. In C because rte_eth_conf is full of
 * bit fields that moved between releases; everything unnamed stays zero.
 */
int shim_port_configure(uint16_t port, uint16_t queues, uint16_t mtu, uint64_t rx_offloads,
			uint64_t tx_offloads, int rx_interrupts);

/* 1 when the port's link is up, 0 when it is down, negative on failure; its speed in megabits a second. */
int shim_link(uint16_t port, uint32_t *megabits);

/*
 * Sends what DPDK logs to `line`, one call a message, instead of stderr. The level is
 * RTE_LOG_EMERG (1) to RTE_LOG_DEBUG (8). Returns 0, or -1 when no stream could be made.
 */
typedef void (*shim_log_line)(uint32_t level, const char *text, size_t len);
int shim_log_to(shim_log_line line);

/* Receive-side scaling: DPDK's own Toeplitz, kept as an oracle for tests. */
uint32_t shim_softrss(uint32_t *tuple, uint32_t words, const uint8_t *key);

/*
 * Where the fields of an mbuf lie. Its unions are named differently in each release
 * as bindgen sees them; offsets are not.
 */
enum shim_mbuf_layout {
	SHIM_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	SHIM_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	SHIM_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
	SHIM_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	SHIM_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	SHIM_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	SHIM_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	SHIM_MBUF_RSS = offsetof(struct rte_mbuf, hash),
	SHIM_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	SHIM_MBUF_POOL = offsetof(struct rte_mbuf, pool),
	SHIM_MBUF_NEXT = offsetof(struct rte_mbuf, next),
	SHIM_MBUF_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload),
	SHIM_MBUF_SIZE = sizeof(struct rte_mbuf),
};

/* 64-bit flags, whose macros bindgen can't read. */
enum shim_flag {
	SHIM_MBUF_F_INDIRECT = RTE_MBUF_F_INDIRECT,
	SHIM_MBUF_F_EXTERNAL = RTE_MBUF_F_EXTERNAL,
	SHIM_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK,
	SHIM_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD,
	SHIM_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD,
	SHIM_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK,
	SHIM_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD,
	SHIM_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD,
	SHIM_RX_L4_CKSUM_NONE = RTE_MBUF_F_RX_L4_CKSUM_NONE,
	SHIM_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH,
	SHIM_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM,
	SHIM_TX_TCP_CKSUM = RTE_MBUF_F_TX_TCP_CKSUM,
	SHIM_TX_UDP_CKSUM = RTE_MBUF_F_TX_UDP_CKSUM,
	SHIM_TX_IPV4 = RTE_MBUF_F_TX_IPV4,
	SHIM_TX_IPV6 = RTE_MBUF_F_TX_IPV6,
	SHIM_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM,
	SHIM_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM,
	SHIM_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM,
	SHIM_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH,
	SHIM_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER,
	SHIM_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM,
	SHIM_TX_OFFLOAD_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM,
	SHIM_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM,
	SHIM_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
	SHIM_RSS_TCP = RTE_ETH_RSS_TCP,
	SHIM_RSS_IP = RTE_ETH_RSS_IP,
};

/* Sentinels with casts. */
enum shim_sentinel {
	SHIM_LCORE_ID_ANY = LCORE_ID_ANY,
};

#endif
