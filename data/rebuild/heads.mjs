import { closeSync, openSync, writeSync } from 'node:fs'
import { createAvatar } from '@dicebear/core'
import * as toonHead from '@dicebear/toon-head'
import { Resvg } from '@resvg/resvg-js'

const backgroundColor = ['b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf']
// The same head once more in four colours that are always the same: its sketch must not tell the true ones.
const plainColours = { skinColor: ['e0a080'], hairColor: ['4060c0'], clothesColor: ['30a030'], backgroundColor: ['ffffff'] }
const pixels = (head) => {
  const fonts = { loadSystemFonts: false } // a head has no letters
  return new Resvg(head.toString(), { font: fonts, fitTo: { mode: 'width', value: 144 } }).render().pixels
}
const [heads, plain] = ['heads.bin', 'plain.bin'].map((name) => openSync(name, 'w'))
for (let i = 0; i < Number(process.argv[2]); i++) {
  const head = createAvatar(toonHead, { seed: `head-${i}`, backgroundColor })
  const same = createAvatar(toonHead, { seed: `head-${i}`, ...plainColours })
  writeSync(heads, pixels(head))
  writeSync(plain, pixels(same))
}
closeSync(heads)
closeSync(plain)
