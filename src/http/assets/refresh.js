// Renews the content of the page without a reload: nothing moves, nothing blinks, and a lost daemon is told.
(() => {
  const content = document.getElementById('content');
  const freshness = document.getElementById('freshness');
  const everyMs = Number(content.dataset.refreshSeconds) * 1000;

  async function renew() {
    if (document.hidden || !getSelection().isCollapsed) return;
    try {
      const response = await fetch(location.href, {
        headers: { 'cronwright-fragment': '1' },
        signal: AbortSignal.timeout(10000),
      });
      if (response.redirected || response.status === 401) return location.reload();
      if (!response.ok) throw new Error(String(response.status));
      replaceContent(await response.text());
      freshness.textContent = `${new Date().toISOString().slice(11, 19)} UTC`;
      freshness.classList.remove('stale');
    } catch {
      if (!freshness.classList.contains('stale')) freshness.textContent = `no answer since ${freshness.textContent}`;
      freshness.classList.add('stale');
    }
  }

  function replaceContent(text) {
    const next = document.createElement('main');
    next.innerHTML = text;
    for (const open of content.querySelectorAll('details[open][id]')) {
      next.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute('open', '');
    }
    const log = content.querySelector('.log');
    const atEnd = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 8;
    const top = log?.scrollTop;
    content.replaceChildren(...next.childNodes);
    const renewed = content.querySelector('.log');
    if (renewed) renewed.scrollTop = atEnd ? renewed.scrollHeight : top;
  }

  const log = content.querySelector('.log');
  if (log) log.scrollTop = log.scrollHeight;
  setInterval(renew, everyMs);
  document.addEventListener('visibilitychange', renew);
})();
