// Is compiled, not run: the types say what the client does.
import { AgentEvent, AntomAgent, AntomError, Signed, Verified } from '..';

async function use(agent: AntomAgent): Promise<string> {
  const body: Uint8Array = new Uint8Array([1]);
  const signed: Signed = await agent.signRequest({ profile: 'shop/live', method: 'POST', uri: '/', body, time: '1', timeoutMs: 100 });
  const url: string | null = signed.url;
  const message = { profile: 'shop/live', method: 'POST', uri: signed.uri, body };
  const verified: Verified = await agent.verifyResponse({ ...message, headers: { 'client-id': 'x', other: ['a', 'b'] }, maxAgeMs: 0 });
  await agent.verifyNotification({ ...message, headers: [['client-id', 'x']] });
  await agent.verifyNotification({ ...message, headers: new Map([['client-id', 'x']]) });
  for await (const event of agent.watch()) {
    const told: AgentEvent = event;
    if (told.name === 'epoch') return String(told.params.epoch + verified.ageMs);
  }
  try {
    // @ts-expect-error a text is no body
    await agent.signRequest({ profile: 'shop/live', method: 'POST', uri: '/', body: 'text' });
    // @ts-expect-error no call without a profile
    await agent.signRequest({ method: 'POST', uri: '/', body });
  } catch (e) {
    if (e instanceof AntomError && e.errorClass === 'retry') return `${e.code} ${e.status} ${e.field ?? url}`;
  }
  // @ts-expect-error a verified message has no value that says no
  return verified.valid;
}

use(new AntomAgent({ path: '/run/antom-agent/agent.sock' }));
