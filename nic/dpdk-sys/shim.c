/* See shim.h. Compiled with -O3 in every profile: these are the packet path. */
#define _GNU_SOURCE /* fopencookie */
#include <stdio.h>
#include <string.h>

#include "shim.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_prefetch.h>
#include <rte_thash.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "dpdk-sys needs DPDK 22.11 or newer"
#endif

int shim_errno(void) { return rte_errno; }
unsigned int shim_lcore_id(void) { return rte_lcore_id(); }
uint64_t shim_rdtsc(void) { return rte_rdtsc(); }

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_eth_rx_burst(port, queue, pkts, n);
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_eth_tx_burst(port, queue, pkts, n);
}

uint16_t shim_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_eth_tx_prepare(port, queue, pkts, n);
}

struct rte_mbuf *shim_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

int shim_raw_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n)
{
	return rte_mempool_get_bulk(pool, (void **)mbufs, n);
}

void shim_free(struct rte_mbuf *m) { rte_pktmbuf_free(m); }

/* A symbol of librte_mbuf already; here so that the packet path has one home. */
void shim_free_bulk(struct rte_mbuf **mbufs, unsigned int n) { rte_pktmbuf_free_bulk(mbufs, n); }

void shim_raw_free(struct rte_mbuf *m) { rte_mbuf_raw_free(m); }

uint16_t shim_refcnt_read(const struct rte_mbuf *m) { return rte_mbuf_refcnt_read(m); }

uint16_t shim_refcnt_update(struct rte_mbuf *m, int16_t delta)
{
	return rte_mbuf_refcnt_update(m, delta);
}

void shim_attach(struct rte_mbuf *indirect, struct rte_mbuf *direct)
{
	rte_pktmbuf_attach(indirect, direct);
}

void shim_attach_extbuf(struct rte_mbuf *m, void *buffer, rte_iova_t iova, uint16_t len,
			struct rte_mbuf_ext_shared_info *shared)
{
	rte_pktmbuf_attach_extbuf(m, buffer, iova, len, shared);
}

struct rte_mbuf_ext_shared_info *shim_ext_shinfo_init(void *buffer, uint16_t *len,
						       rte_mbuf_extbuf_free_callback_t callback,
						       void *opaque)
{
	return rte_pktmbuf_ext_shinfo_init_helper(buffer, len, callback, opaque);
}

void shim_reset(struct rte_mbuf *m) { rte_pktmbuf_reset(m); }

struct rte_mempool_cache *shim_mempool_default_cache(struct rte_mempool *pool, unsigned int lcore)
{
	return rte_mempool_default_cache(pool, lcore);
}

unsigned int shim_pktmbuf_data_room(struct rte_mempool *pool)
{
	return rte_pktmbuf_data_room_size(pool);
}

unsigned int shim_mempool_cached(struct rte_mempool *pool, unsigned int lcore)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, lcore);

	return cache == NULL ? 0 : cache->len;
}

unsigned int shim_mempool_shared(struct rte_mempool *pool)
{
	return rte_mempool_get_ops(pool->ops_index)->get_count(pool);
}

unsigned int shim_ring_dequeue_burst(struct rte_ring *ring, void **objects, unsigned int n)
{
	return rte_ring_dequeue_burst(ring, objects, n, NULL);
}

int shim_port_configure(uint16_t port, uint16_t queues, uint16_t mtu, uint64_t rx_offloads,
			uint64_t tx_offloads, int rx_interrupts)
{
	struct rte_eth_conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.rxmode.mtu = mtu;
	conf.rxmode.offloads = rx_offloads;
	conf.txmode.offloads = tx_offloads;
	conf.intr_conf.rxq = rx_interrupts != 0;
	return rte_eth_dev_configure(port, queues, queues, &conf);
}

int shim_link(uint16_t port, uint32_t *megabits)
{
	struct rte_eth_link link;
	int answer;

	memset(&link, 0, sizeof(link));
	answer = rte_eth_link_get_nowait(port, &link);
	*megabits = link.link_speed;
	return answer < 0 ? answer : link.link_status == RTE_ETH_LINK_UP;
}

static shim_log_line log_line;

static ssize_t log_write(void *cookie, const char *text, size_t len)
{
	(void)cookie;
	log_line((uint32_t)rte_log_cur_msg_loglevel(), text, len);
	return (ssize_t)len;
}

int shim_log_to(shim_log_line line)
{
	const cookie_io_functions_t functions = {.write = log_write};
	FILE *stream = fopencookie(NULL, "w", functions);

	if (stream == NULL)
		return -1;
	log_line = line;
	return rte_openlog_stream(stream);
}

uint32_t shim_softrss(uint32_t *tuple, uint32_t words, const uint8_t *key)
{
	return rte_softrss(tuple, words, key);
}
