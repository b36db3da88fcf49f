// What the browser tests ask of a JupyterLab page, under the name `course`: to open a notebook and run it, what a live
// figure shows, and to wait until it shows something else. To wait here is far cheaper than to ask again and again.
(() => {
  const moment = ms => new Promise(done => setTimeout(done, ms));
  const current = () => jupyterapp.shell.currentWidget;
  const until = async (holds, seconds, what) => {
    for (const end = Date.now() + 1000 * seconds; !holds(); await moment(50)) {
      if (Date.now() > end) throw new Error(`within ${seconds} s ${what()}`);
    }
  };

  // Open the notebook at `path` in the place of the one that stands open; its kernel is ready then.
  const open = async path => {
    const old = current();
    if (old && old.sessionContext) {
      await old.sessionContext.shutdown();
      old.context.model.dirty = false; // nothing is asked about saving
      old.close();
    }
    await jupyterapp.commands.execute('docmanager:open', {path});
    await until(() => {
      const {context, sessionContext} = current() || {};
      const kernel = sessionContext && sessionContext.session && sessionContext.session.kernel;
      return context && context.path === path && context.isReady && sessionContext.isReady && kernel
        && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
    }, 120, () => `${path} was not ready`);
  };

  // Run all cells; return the first error, or nothing.
  const run = async seconds => {
    const cells = current().content.widgets.filter(cell => cell.model.type === 'code').map(cell => cell.model);
    const error = () => {
      for (const {outputs} of cells) {
        for (let i = 0; i < outputs.length; i++) if (outputs.get(i).type === 'error') return outputs.get(i).toJSON();
      }
    };
    jupyterapp.commands.execute('notebook:run-all-cells');
    const ran = model => (model.executionCount || model.sharedModel.execution_count) > 0;
    await until(() => error() || cells.every(ran), seconds, () => `${cells.filter(ran).length} of ${cells.length} cells ran`);
    await settled();
    return error();
  };

  // The kernel has answered all that it was asked, and nothing has followed for as long as a dragged slider holds back.
  const settled = async () => {
    for (let still = 0; still < 4; still++) {
      await moment(50);
      if (current().sessionContext.session.kernel.status !== 'idle') still = -1;
    }
  };

  // A digest of the picture's bytes: the `src` of a blob changes with every update, also to the same picture. While a
  // picture is being exchanged there is for a moment none to read: then of the next.
  const digest = async image => {
    for (let tries = 0; ; tries++) {
      try {
        await image.decode();
        const bytes = await (await fetch(image.src)).arrayBuffer();
        return Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))).join();
      } catch (error) {
        if (tries === 100) throw error;
        await moment(50);
      }
    }
  };

  const words = box => (box.querySelector('[role=status], [role=alert]') || {}).textContent;
  const look = async box => {
    const image = box.querySelector('img');
    return {words: words(box), picture: image && await digest(image)};
  };

  // Wait until the figure's sentence is another than `before`, then until all is answered, then for another picture,
  // too, if one is awaited; return what it shows now, with all sentences that were seen on the way.
  const changed = async (box, before, picture, seconds) => {
    const seen = [];
    const note = () => {
      const now = words(box), last = seen.length ? seen[seen.length - 1] : before.words;
      if (now !== undefined && now !== last) seen.push(now);
    };
    const observer = new MutationObserver(note);
    observer.observe(box, {subtree: true, childList: true, characterData: true});
    note();
    await until(() => seen.length, seconds, () => `the sentence stayed: ${before.words}`);
    await settled();
    observer.disconnect();
    let now = await look(box);
    for (const end = Date.now() + 10000; picture && now.picture === before.picture; now = await look(box)) {
      if (Date.now() > end) throw new Error(`the sentence changed to ${now.words}, but not the picture`);
      await moment(100);
    }
    return {...now, seen};
  };

  // Where a slider's knob and its rail lie in the window.
  const track = slider => {
    const knob = slider.querySelector('.noUi-handle, .ui-slider-handle').getBoundingClientRect();
    const rail = slider.querySelector('.noUi-base, .ui-slider').getBoundingClientRect();
    return {x: knob.x + knob.width / 2, y: knob.y + knob.height / 2, left: rail.x, width: rail.width};
  };

  window.course = {open, run, look, changed, track};
})();
